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

const others: ReadonlySet<RacepointName> = new Set([...callPoints, ...decisionPoints]);

/** On the way of a memory that the rules decide. */
export const workPoints: readonly RacepointName[] = racepointNames.filter((name) => !others.has(name));
