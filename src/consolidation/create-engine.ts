import type { ConsolidationDeps } from './dependencies.ts';
import { dryRun } from './dry-run.ts';
import type { ConsolidationEngine } from './engine.ts';
import { runSlice } from './slice.ts';

export type { ConsolidationDeps } from './dependencies.ts';

/** The door of the room. */
export function createConsolidationEngine(deps: ConsolidationDeps): ConsolidationEngine {
  return {
    runSlice: (options) => runSlice(deps, options),
    dryRun: (bankId, options) => dryRun(deps, bankId, options),
  };
}
