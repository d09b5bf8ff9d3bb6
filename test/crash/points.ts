import { type RacepointName, racepointNames } from '../../src/telemetry/racepoints.ts';

/** Around a call of a model that costs money. */
export const callPoints = [
  'call:reserved',
  'call:answered',
  'call:settled',
] as const satisfies readonly RacepointName[];

/** In what a person decides. */
export const decisionPoints = [
  'review:before-commit',
  'undo:before-commit',
  'forget:planned',
  'forget:before-commit',
  'switch:before-commit',
] as const satisfies readonly RacepointName[];

/** In a sleep cycle. */
export const cyclePoints = [
  'cycle:begun',
  'cycle:step-begun',
  'cycle:step-saved',
  'cycle:before-step-end',
  'cycle:before-end',
] as const satisfies readonly RacepointName[];

/** Between what a scorer says and what the bank keeps of it. */
export const scorePoints = ['score:called', 'score:before-commit'] as const satisfies readonly RacepointName[];

/** In what is kept of the store, and what brings it back. */
export const keepingPoints: readonly RacepointName[] = racepointNames.filter((name) =>
  /^(pin|backup|restore|snapshot|import):/.test(name),
);

/** In what the daemon's life is made of: what is done there is found again, or not begun, by whoever starts next. */
export const lifePoints = [
  'sweep:before-commit',
  'build:leading',
  'build:before-save',
  'life:before-transition',
  'park:released',
] as const satisfies readonly RacepointName[];

const others: ReadonlySet<RacepointName> = new Set([
  ...callPoints,
  ...decisionPoints,
  ...cyclePoints,
  ...scorePoints,
  ...keepingPoints,
  ...lifePoints,
]);

/** On the way of a memory that the rules decide. */
export const workPoints: readonly RacepointName[] = racepointNames.filter((name) => !others.has(name));
