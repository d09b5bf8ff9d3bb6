import { AsyncLocalStorage } from 'node:async_hooks';
import type { Database } from '../../src/db/database.ts';
import type { ModelGate } from '../../src/models/model-gate.ts';

/** Taken where no connection is held: what runs in it does not see the lease of its caller. */
const outside = AsyncLocalStorage.snapshot();

/**
 * The mistake that law L1 forbids, for the baseline of the bench: a connection of the pool is checked out while a call is
 * under way. It goes around the guard, which would refuse it, and only the call itself is inside, so that the worker does
 * not wait for a connection while it holds one.
 */
export function holdingConnection(gate: ModelGate, db: Database): ModelGate {
  return {
    ...gate,
    run: (facts, perform, signal) =>
      gate.run(
        facts,
        (signalOfCall) => db.tx({ label: 'bench: held across a call' }, () => outside(() => perform(signalOfCall))),
        signal,
      ),
  };
}
