import { currentEmbedder } from '../models/embedder.ts';
import { findContradictions } from './contradictions.ts';
import type { ConsolidationDeps, EngineDeps } from './dependencies.ts';
import { dryRun } from './dry-run.ts';
import type { ConsolidationEngine } from './engine.ts';
import { runSlice } from './slice.ts';
import { sweepDuplicates } from './sweep.ts';
import { createInOrder, createTurns } from './turns.ts';

export type { ConsolidationDeps } from './dependencies.ts';

/**
 * Batches under way for so many calls at once: while some are at the model, others recall, embed or apply. Not many more,
 * or what a batch was shown is old before it is sent.
 */
function batchesUnderWay({ concurrency, decider }: ConsolidationDeps): number {
  return decider.asksModel ? Math.ceil(concurrency * 1.25) + 2 : concurrency;
}

/** The door of the room. */
export function createConsolidationEngine(outside: ConsolidationDeps): ConsolidationEngine {
  const deps: EngineDeps = {
    ...outside,
    turns: createTurns(batchesUnderWay(outside)),
    inApplyOrder: createInOrder(),
  };
  return {
    // One embedding model from the first look to the apply, which refuses what was decided with another.
    runSlice: async (options) => runSlice({ ...deps, embedder: await currentEmbedder(deps.embedder) }, options),
    findContradictions: async (request) =>
      findContradictions({ ...deps, embedder: await currentEmbedder(deps.embedder) }, request),
    sweepDuplicates: async (request) =>
      sweepDuplicates({ ...deps, embedder: await currentEmbedder(deps.embedder) }, request),
    dryRun: async (bankId, options) =>
      dryRun({ ...deps, embedder: await currentEmbedder(deps.embedder) }, bankId, options),
  };
}
