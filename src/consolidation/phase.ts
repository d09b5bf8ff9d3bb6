import type { ConsolidationDeps } from './dependencies.ts';

/** Measures a phase of a batch, also one that throws. */
export async function inPhase<T>(
  deps: Pick<ConsolidationDeps, 'clock' | 'metrics'>,
  phase: 'recall' | 'propose' | 'embed' | 'dedup' | 'apply',
  work: () => Promise<T>,
): Promise<T> {
  const startedMs = deps.clock.monotonicMs();
  try {
    return await work();
  } finally {
    deps.metrics.batchPhaseSeconds.observe({ phase }, (deps.clock.monotonicMs() - startedMs) / 1000);
  }
}
