/**
 * Named instants at which a test may hold, reorder or kill the process.
 *
 * Production passes `inertRacepoints`, whose `reach` is a shared resolved promise: no setting, no environment
 * variable and no file turns them on, so nothing an operator does can.
 */
export const racepointNames = [
  'ingest:before-commit',
  'ingest:after-commit',
  'embed:before-store',
  'slice:started',
  'batch:selected',
  'batch:attempt-recorded',
  'batch:recalled',
  'batch:proposed',
  'batch:validated',
  'batch:embedded',
  'batch:deduplicated',
  'apply:before-begin',
  'apply:locked',
  'apply:ops-written',
  'apply:before-commit',
  'apply:after-commit',
  'slice:before-complete',
  'slice:completed-uncommitted',
  'slice:after-complete',
  'call:reserved',
  'call:answered',
  'call:settled',
  'review:before-commit',
  'undo:before-commit',
  'forget:planned',
  'forget:before-commit',
  'switch:before-commit',
  'sweep:before-commit',
  'build:leading',
  'build:before-save',
  'life:before-transition',
  'cycle:begun',
  'cycle:step-begun',
  'cycle:step-saved',
  'cycle:before-step-end',
  'cycle:before-end',
  'park:released',
  'score:called',
  'score:before-commit',
  'pin:before-commit',
  'backup:snapshot-taken',
  'backup:table-written',
  'backup:before-manifest',
  'backup:before-rename',
  'backup:renamed',
  'backup:verifying',
  'backup:before-prune',
  'backup:pruned-one',
  'restore:loaded',
  'restore:before-commit',
  'restore:committed',
  'snapshot:before-commit',
  'import:before-commit',
] as const;

export type RacepointName = (typeof racepointNames)[number];

export interface Racepoints {
  /** `detail` identifies the work at hand, e.g. `{ memoryIds }`; only tests read it. */
  reach(name: RacepointName, detail?: Readonly<Record<string, unknown>>): Promise<void>;
}

const resolved = Promise.resolve();
export const inertRacepoints: Racepoints = { reach: () => resolved };
