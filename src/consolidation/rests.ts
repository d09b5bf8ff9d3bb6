import { type DueMemory, parkMemories, postponeMemories, restMemories } from '../store/due-memories.ts';
import { restMs } from './back-off.ts';
import type { ConsolidationDeps } from './dependencies.ts';

type RestDeps = Pick<ConsolidationDeps, 'db' | 'random' | 'log'>;

/** No progress: a later attempt, or after enough of them a person (law L5). */
export async function postpone(deps: RestDeps, bankId: string, memories: readonly DueMemory[]): Promise<void> {
  const planned = memories.map((memory) => ({ memory, rest: restMs(memory.attempts, deps.random()) }));
  const spent = planned.filter((entry) => entry.rest === null).map((entry) => entry.memory);
  const later = planned.flatMap(({ memory, rest }) =>
    rest === null ? [] : [{ id: memory.id, version: memory.version, restMs: rest }],
  );
  if (later.length > 0) await postponeMemories(deps.db, bankId, later);
  if (spent.length > 0) await park(deps, bankId, spent, 'no_progress');
}

/** Of what nobody is to blame for yet. A memory that nothing else is decided beside is paid for this often, for ever. */
const longestUncountedMs = 3_600_000;

/**
 * The decider failed over them and is itself under suspicion: they rest, so that the slice comes to an end, and it is not
 * counted (law L8).
 */
export async function letRest(deps: RestDeps, bankId: string, memories: readonly DueMemory[]): Promise<void> {
  const rested = memories.map(({ id, version }) => ({
    id,
    version,
    restMs: longestUncountedMs * (0.5 + deps.random() / 2),
  }));
  await restMemories(deps.db, bankId, rested);
}

export function park(
  deps: RestDeps,
  bankId: string,
  memories: readonly DueMemory[],
  reason: 'no_progress' | 'crashed_alone',
): Promise<void> {
  deps.log.warn({ memories: memories.length, reason }, 'memories parked; `engramd jobs retry` brings them back');
  return parkMemories(deps.db, bankId, memories, reason);
}
