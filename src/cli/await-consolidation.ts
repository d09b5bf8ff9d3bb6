import type { Clock } from '../telemetry/clock.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';
import { call } from './api-client.ts';
import type { Bank, RequestedConsolidation, Run, Status } from './api-types.ts';
import { bankPath, query } from './options.ts';
import { readPages } from './read-pages.ts';
import type { Transport } from './transport.ts';

export interface ConsolidationReport extends Pick<RequestedConsolidation, 'again' | 'held'> {
  readonly runs: number;
  readonly memories: number;
  /** Operations applied, by kind. */
  readonly ops: Readonly<Record<string, number>>;
  /** Operations refused, by validator. */
  readonly rejected: Readonly<Record<string, number>>;
  /** Operations that wait for a person. */
  readonly proposed: number;
  /** Not due, and not done either: tried again later. */
  readonly pending: number;
}

interface WaitOptions {
  readonly transport: Transport;
  readonly bank: string;
  /** What else is to become due. */
  readonly also?: { readonly again: boolean; readonly held: boolean };
  /** Told what the request has made due, before the wait. */
  readonly onRequested?: (answer: RequestedConsolidation) => Promise<void>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (left: number, total: number) => void;
  /** Told, once each, what the work waits for: a model out of order, a budget that is spent. */
  readonly onWaiting?: (why: string) => void;
}

const pollMs = 250;
/** As long without anything done, and it is asked why. */
const standstillMs = 3000;
/** A run writes its counts with its last statement; one that never does belongs to a process that died. */
const lastRunMs = 5000;

/** What is due waits for something that this command cannot wait for: nobody else works here. */
export class WorkWaitsError extends EngramdError {
  readonly code = 'WORK_WAITS';
  override readonly retryable = true;
}

/**
 * Makes the bank due, waits until no row of it is, and adds up what was done meanwhile.
 *
 * @throws WorkWaitsError where no daemon runs and the work waits for a model or for money
 */
export async function consolidateAndWait(options: WaitOptions): Promise<ConsolidationReport> {
  const { transport, bank, clock, signal } = options;
  const path = bankPath(bank, '/consolidations');
  const [newestBefore] = await newestRuns(transport, path, 1);
  const { due: total } = await call<Bank>(transport, { method: 'GET', path: bankPath(bank) });
  const answer = await call<RequestedConsolidation>(transport, { method: 'POST', path, body: options.also ?? {} });
  await options.onRequested?.(answer);
  const { again, held } = answer;

  let idleSinceMs: number | undefined;
  let moved = { due: answer.again + answer.held + total, atMs: clock.monotonicMs() };
  const told = new Set<string>();
  for (;;) {
    const state = await call<Bank>(transport, { method: 'GET', path: bankPath(bank) });
    options.onProgress(state.due, Math.max(total, state.due));
    if (state.due === 0) {
      idleSinceMs ??= clock.monotonicMs();
      const [newest] = await newestRuns(transport, path, 1);
      const isOver = newest === undefined || newest.finished_at !== null;
      if (isOver || clock.monotonicMs() - idleSinceMs > lastRunMs) {
        return { ...addUp(await runsSince(transport, path, newestBefore), state.memories.pending), again, held };
      }
    } else {
      idleSinceMs = undefined;
      if (state.due !== moved.due) moved = { due: state.due, atMs: clock.monotonicMs() };
      if (clock.monotonicMs() - moved.atMs >= standstillMs) {
        moved = { ...moved, atMs: clock.monotonicMs() };
        const why = whyItWaits(await call<Status>(transport, { method: 'GET', path: '/v1/status' }));
        if (why !== null && transport.kind === 'local') throw new WorkWaitsError(`${state.due} memories wait: ${why}`);
        if (why !== null && !told.has(why)) options.onWaiting?.(why);
        if (why !== null) told.add(why);
      }
    }
    await clock.sleep(pollMs, signal);
    signal.throwIfAborted();
  }
}

/** Null: it does not, as far as anybody can tell. */
function whyItWaits({ models, waits_until }: Status): string | null {
  const [broken] = models.flatMap(({ problem }) => problem ?? []);
  if (broken !== undefined) return broken;
  return waits_until === null ? null : `the budget of the day is spent; it goes on at ${waits_until}`;
}

function newestRuns(transport: Transport, path: string, limit: number): Promise<Run[]> {
  return call<{ runs: Run[] }>(transport, { method: 'GET', path: `${path}${query({ limit })}` }).then(
    ({ runs }) => runs,
  );
}

/** The run that was newest before is counted if it had not ended by then. */
async function runsSince(transport: Transport, path: string, newestBefore: Run | undefined): Promise<Run[]> {
  const all = await readPages<Run>(transport, path, 'runs', { most: 1000 });
  const end = newestBefore ? all.findIndex(({ id }) => id === newestBefore.id) : -1;
  if (end < 0) return all;
  return all.slice(0, newestBefore?.finished_at === null ? end + 1 : end);
}

/** Batches end in any order; their counts should not be told in any order. */
function byName(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function addUp(runs: readonly Run[], pending: number): Omit<ConsolidationReport, 'again' | 'held'> {
  const ops: Record<string, number> = {};
  const rejected: Record<string, number> = {};
  let memories = 0;
  let proposed = 0;
  for (const { counts } of runs) {
    const known = counts as {
      memories?: number;
      proposed?: number;
      ops?: Record<string, number>;
      rejected?: Record<string, number>;
    };
    memories += known.memories ?? 0;
    proposed += known.proposed ?? 0;
    for (const [op, count] of Object.entries(known.ops ?? {})) ops[op] = (ops[op] ?? 0) + count;
    for (const [name, count] of Object.entries(known.rejected ?? {})) rejected[name] = (rejected[name] ?? 0) + count;
  }
  return { runs: runs.length, memories, ops: byName(ops), rejected: byName(rejected), proposed, pending };
}
