import type { Queryable } from '../db/database.ts';
import type { Erasure } from '../store/erasures-due.ts';
import type { Manifest } from './manifest.ts';
import type { RestoreReport } from './restore-store.ts';
import { type SequenceValue, setSequences } from './sequences.ts';
import type { TargetStore } from './target-store.ts';

const erasuresAStatement = 5000;

/**
 * Makes a store that can be worked on of what was just loaded: what only grows goes on from the larger of both, and what
 * was under way when the backup was taken is not any more. In the transaction of the restore, on the newest schema.
 *
 * Rows keep the versions and epochs that they had: the store's own epoch is compared by whoever writes, so that nobody
 * who knew the rows before can change them (law L22).
 */
export async function settleRestored(
  session: Queryable,
  target: TargetStore,
  restored: { readonly manifest: Manifest; readonly erasures: readonly Erasure[] },
): Promise<Pick<RestoreReport, 'epoch' | 'erasuresDue' | 'sequencesLeft'>> {
  const { manifest } = restored;
  const epoch = Math.max(target.epoch, manifest.epoch) + 1;
  // One row each. What is in the store is what was backed up, in whichever database: its backups are told apart by that.
  await session.query(
    `update engram.store set epoch = $1, id = $2::uuid, restored_at = clock_timestamp(), restored_from = $3::uuid`,
    [epoch, manifest.store, manifest.id],
  );
  await session.query(`update engram.lifecycle set version = greatest(version, $1) + 1, tick = greatest(tick, $2)`, [
    target.lifeVersion,
    target.tick,
  ]);
  await session.query('update engram.leader set fence = greatest(fence, $1)', [target.fence]);
  const [kept, left] = partition(target.sequences);
  await setSequences(session, kept);
  await endWhatWasUnderWay(session);
  await keepWhatWasSpent(session);
  const erasuresDue = await keepWhatWasForgotten(session, restored.erasures);
  return { epoch, erasuresDue, sequencesLeft: left.map(({ name }) => name) };
}

/** Ids beyond what a number holds exactly are of a database that was damaged, and would damage the next. */
function partition(sequences: readonly SequenceValue[]): [kept: SequenceValue[], left: SequenceValue[]] {
  const isKept = ({ lastValue }: SequenceValue) => BigInt(lastValue) <= Number.MAX_SAFE_INTEGER;
  return [sequences.filter(isKept), sequences.filter((sequence) => !isKept(sequence))];
}

async function endWhatWasUnderWay(session: Queryable): Promise<void> {
  // Indexes instances_open, sleep_cycles_open, attempts_unfinished: a few rows each.
  await session.query(
    `update engram.instances set stopped_at = clock_timestamp(), stop_reason = 'the store was restored from a backup',
       requests_in_flight = 0
     where stopped_at is null`,
  );
  await session.query(
    `update engram.sleep_cycles set finished_at = clock_timestamp(), outcome = 'abandoned' where finished_at is null`,
  );
  // Not crashed: nobody has to look for the memory that killed a process.
  await session.query(
    `update engram.attempts set finished_at = clock_timestamp(), outcome = 'handed_back' where finished_at is null`,
  );
}

/** The larger of both for each day: they share what was spent until the backup, and a limit holds for either. */
async function keepWhatWasSpent(session: Queryable): Promise<void> {
  // Primary keys.
  await session.query(
    `insert into engram.budget_ledger as l (day, nano_usd, tokens, unpriced_tokens, calls)
     select day, nano_usd, tokens, unpriced_tokens, calls from kept_ledger
     on conflict (day) do update set nano_usd = greatest(l.nano_usd, excluded.nano_usd),
       tokens = greatest(l.tokens, excluded.tokens), calls = greatest(l.calls, excluded.calls),
       unpriced_tokens = greatest(l.unpriced_tokens, excluded.unpriced_tokens)`,
  );
  await session.query(
    `insert into engram.model_calls
     select r.* from kept_calls k cross join lateral jsonb_populate_record(null::engram.model_calls, k.call) as r
     on conflict do nothing`,
  );
}

async function keepWhatWasForgotten(session: Queryable, erasures: readonly Erasure[]): Promise<number> {
  for (let at = 0; at < erasures.length; at += erasuresAStatement) {
    const chunk = erasures.slice(at, at + erasuresAStatement);
    await session.query(
      `insert into kept_erasures select bank_id, memory_id, '{}', erased_at
       from unnest($1::text[], $2::uuid[], $3::timestamptz[]) as e (bank_id, memory_id, erased_at)`,
      [chunk.map((row) => row.bankId), chunk.map((row) => row.memoryId), chunk.map((row) => row.erasedAt)],
    );
  }
  // Primary keys. Due is what came back, and what the backup knows nothing of: its words may stand in the history of a
  // memory that is gone.
  await session.query(
    `insert into engram.erasures_due as due (bank_id, memory_id, erased_at)
     select k.bank_id, k.memory_id, min(k.erased_at) from kept_erasures k
     where exists (select from engram.memories m where m.bank_id = k.bank_id and m.id = k.memory_id)
       or not exists (select from engram.erasures e where e.bank_id = k.bank_id and e.memory_id = k.memory_id)
     group by 1, 2
     on conflict (bank_id, memory_id) do update set erased_at = least(due.erased_at, excluded.erased_at)`,
  );
  // Of several the one that names what it was said in.
  await session.query(
    `insert into engram.erasures (bank_id, memory_id, observation_ids, erased_at)
     select distinct on (bank_id, memory_id) bank_id, memory_id, observation_ids, erased_at from kept_erasures
     order by bank_id, memory_id, cardinality(observation_ids) desc, erased_at
     on conflict do nothing`,
  );
  // Those among them that the store that was backed up had not come to.
  const { rows } = await session.query<{ due: number }>('select count(*)::int as due from engram.erasures_due');
  return rows[0]?.due ?? 0;
}
