import type { Tx } from '../db/database.ts';
import { lockBank } from '../store/apply-locks.ts';
import { insertEvents } from '../store/apply-writes.ts';
import { markWriter } from '../store/memories.ts';
import { removePin, savePins } from '../store/pins.ts';
import { lockWithPins } from '../store/scores.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';
import { decideEvictions } from './decide-pins.ts';
import type { PinDeps } from './dependencies.ts';
import { event } from './write-scores.ts';

export interface PinRequest {
  readonly bankId: string;
  readonly memoryId: string;
}

export interface PinReport {
  readonly memoryId: string;
  readonly pin: 'manual' | null;
  /** It was so before; nothing was changed. */
  readonly already: boolean;
  /** Automatic pins that made room. */
  readonly evicted: readonly string[];
}

/** The memory is not to be believed, and what is pinned is shown first. */
export class MemoryInvalidatedError extends EngramdError {
  readonly code = 'MEMORY_INVALIDATED';
  override readonly exitCode = 4;

  constructor(memoryId: string) {
    super(`memory ${memoryId} was invalidated, so it cannot be pinned; a valid one can`);
  }
}

/**
 * Pins a memory for good: no score and no other pin takes it away (law L17). An automatic pin becomes one of a person.
 * Where there are too many then, automatic ones make room.
 *
 * @returns null where there is no such memory
 * @throws MemoryInvalidatedError
 */
export async function pinMemory(deps: PinDeps, request: PinRequest): Promise<PinReport | null> {
  const report = await deps.db.tx({ label: 'pin' }, (tx) => pinIn(tx, deps, request));
  deps.metrics.pinsEvicted.inc(report?.evicted.length ?? 0);
  return report;
}

async function pinIn(tx: Tx, deps: PinDeps, { bankId, memoryId }: PinRequest): Promise<PinReport | null> {
  await markWriter(tx, deps.instanceId);
  if (!(await lockBank(tx, bankId, 'exclusive'))) return null;
  const rows = await lockWithPins(tx, bankId, [memoryId]);
  const memory = rows.get(memoryId);
  if (!memory) return null;
  if (!memory.isValid) throw new MemoryInvalidatedError(memoryId);
  if (memory.pin === 'manual') return { memoryId, pin: 'manual', already: true, evicted: [] };
  const pins = [...rows.values()].filter((row) => row.isValid && row.pin !== null && row.id !== memoryId);
  const evicted = decideEvictions([...pins, { ...memory, pin: 'manual' }], deps.pinCap);
  await savePins(tx, bankId, [{ id: memoryId, pin: 'manual' }, ...evicted.map((id) => ({ id, pin: null }))]);
  await insertEvents(tx, bankId, [
    event('memory.pinned', memoryId, { pin: 'manual' }),
    ...evicted.map((id) => event('memory.evicted', id, { for: memoryId })),
  ]);
  await deps.racepoints.reach('pin:before-commit', { memoryId });
  return { memoryId, pin: 'manual', already: false, evicted };
}

/**
 * Takes away a pin, whoever set it, also of a memory that was invalidated. No score brings it back until the text is
 * another.
 *
 * @returns null where there is no such memory
 */
export function unpinMemory(deps: PinDeps, request: PinRequest): Promise<PinReport | null> {
  return deps.db.tx({ label: 'unpin' }, (tx) => unpinIn(tx, deps, request));
}

async function unpinIn(tx: Tx, deps: PinDeps, { bankId, memoryId }: PinRequest): Promise<PinReport | null> {
  await markWriter(tx, deps.instanceId);
  if (!(await lockBank(tx, bankId, 'exclusive'))) return null;
  const memory = (await lockWithPins(tx, bankId, [memoryId])).get(memoryId);
  if (!memory) return null;
  if (memory.pin === null) return { memoryId, pin: null, already: true, evicted: [] };
  await removePin(tx, bankId, memoryId);
  await insertEvents(tx, bankId, [event('memory.unpinned', memoryId, { pin: memory.pin })]);
  await deps.racepoints.reach('pin:before-commit', { memoryId });
  return { memoryId, pin: null, already: false, evicted: [] };
}
