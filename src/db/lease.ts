import { AsyncLocalStorage } from 'node:async_hooks';
import { HeldConnectionError } from './errors.ts';

/**
 * Law L1: no connection waits on a model.
 *
 * A lease is put into the async context for as long as a connection is checked out. The context outlives the release
 * (a promise started inside keeps seeing it), so it is `held`, not its presence, that decides.
 */
interface Lease {
  readonly label: string;
  readonly sinceMs: number;
  held: boolean;
}

const context = new AsyncLocalStorage<Lease>();
const violationListeners = new Set<(what: string, label: string) => void>();

/** Runs `work` with a lease that ends when `work` settles. */
export async function withLease<T>(label: string, work: () => Promise<T>): Promise<T> {
  const lease: Lease = { label, sinceMs: performance.now(), held: true };
  try {
    return await context.run(lease, work);
  } finally {
    lease.held = false;
  }
}

/** The label of the connection that this call chain holds, if any. */
export function heldLabel(): string | undefined {
  const lease = context.getStore();
  return lease?.held ? lease.label : undefined;
}

/**
 * Throws {@link HeldConnectionError} if this call chain holds a connection. Stands at the top of every port to an
 * embedder or a model, and of every request for a further connection.
 */
export function assertNoLease(what: string): void {
  const lease = context.getStore();
  if (!lease?.held) return;
  for (const listener of violationListeners) listener(what, lease.label);
  throw new HeldConnectionError(what, { label: lease.label, heldMs: performance.now() - lease.sinceMs });
}

/** Called at each violation, before the throw: it is counted even where somebody swallows the error. */
export function onLeaseViolation(listener: (what: string, label: string) => void): () => void {
  violationListeners.add(listener);
  return () => violationListeners.delete(listener);
}
