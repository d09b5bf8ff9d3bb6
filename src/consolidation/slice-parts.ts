import type { EngineDeps } from './dependencies.ts';
import type { SliceOptions } from './engine.ts';
import type { Flights } from './flights.ts';
import type { SliceEnd } from './slice-end.ts';
import type { SliceTally } from './slice-tally.ts';

/** What every kind of work in a slice needs of it. */
export interface SliceParts {
  readonly deps: EngineDeps;
  readonly options: SliceOptions;
  readonly runId: string;
  readonly tally: SliceTally;
  readonly flights: Flights;
  readonly end: SliceEnd;
  /** Whether the slice goes on and the decider can decide now. Asked before anything is selected. */
  isReady(): Promise<boolean>;
  /** Whether another bank waits, which ends the slice. Asked before each page of work but the first. */
  yields(): Promise<boolean>;
  /** Records the run, once; false: the bank is gone. */
  startRun(): Promise<boolean>;
  /** Room for one more, shared with the slices of other banks; null where the slice is at its end. */
  takeTurn(): Promise<(() => void) | null>;
  /** Never throws: what cannot be dealt with is what the slice ends with. */
  guarded(work: () => Promise<void>): Promise<void>;
}
