import type { Tx } from '../db/database.ts';
import { lockBank } from '../store/apply-locks.ts';
import { insertEvents } from '../store/apply-writes.ts';
import { markWriter } from '../store/memories.ts';
import { banksOverPinCap, savePins } from '../store/pins.ts';
import { lockWithPins } from '../store/scores.ts';
import { decidePins } from './decide-pins.ts';
import type { PinDeps } from './dependencies.ts';
import { event } from './write-scores.ts';

/**
 * Lets automatic pins beyond the cap go, in every bank: a cap that was lowered, or pins that came with an import or by
 * hand-written SQL, would wait for the next score of each bank otherwise.
 *
 * @returns how many went
 */
export async function keepPinCaps(deps: PinDeps, signal: AbortSignal): Promise<number> {
  let evicted = 0;
  for (const bankId of await banksOverPinCap(deps.db, deps.pinCap)) {
    if (signal.aborted) break;
    evicted += await deps.db.tx({ label: 'pin caps' }, (tx) => keepPinCap(tx, deps, bankId));
  }
  deps.metrics.pinsEvicted.inc(evicted);
  return evicted;
}

async function keepPinCap(tx: Tx, deps: PinDeps, bankId: string): Promise<number> {
  await markWriter(tx, deps.instanceId);
  if (!(await lockBank(tx, bankId, 'exclusive'))) return 0;
  const pins = [...(await lockWithPins(tx, bankId, [])).values()].filter(({ isValid }) => isValid);
  const { evicted } = decidePins(pins, [], deps.pinCap);
  await savePins(
    tx,
    bankId,
    evicted.map(({ id }) => ({ id, pin: null })),
  );
  await insertEvents(
    tx,
    bankId,
    evicted.map(({ id }) => event('memory.evicted', id, {})),
  );
  await deps.racepoints.reach('pin:before-commit', { bankId });
  return evicted.length;
}
