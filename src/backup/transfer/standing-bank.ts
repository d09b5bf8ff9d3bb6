import type { DirectSession } from '../../db/direct-session.ts';
import { ImportConflictError } from './export-format.ts';
import { ForgottenHere } from './forgotten-here.ts';
import { setImportSession } from './import-session.ts';
import { insertStatement } from './insert-statement.ts';
import type { CheckedExport, ExportedRow } from './read-export.ts';
import { batchesOf, jsonOf, namingTheLine, type RowBatch } from './row-batches.ts';

export interface Comparison {
  readonly session: DirectSession;
  readonly bankId: string;
  readonly checked: CheckedExport;
  readonly rows: AsyncIterable<ExportedRow>;
  readonly signal: AbortSignal;
  readonly onProgress: (rows: number, total: number) => void;
}

/**
 * Compares a bank with an export and writes nothing: all that the file tells has to be here, as it is there or further on,
 * or to have been forgotten here. What was forgotten took more along than can be told from what is missing.
 *
 * @returns how many memories of the file were forgotten here
 * @throws ImportConflictError, ImportLineError
 */
export async function compareWithBank(comparison: Comparison): Promise<number> {
  const { session, bankId, checked, signal } = comparison;
  await session.query('begin isolation level repeatable read');
  try {
    await setImportSession(session);
    const forgotten = await ForgottenHere.read(session);
    let missing = 0;
    let done = 0;
    for await (const batch of batchesOf(comparison.rows)) {
      signal.throwIfAborted();
      await namingTheLine(session, batch, async (some) => {
        missing += await compareRows(comparison, forgotten, some);
      });
      done += batch.length;
      comparison.onProgress(done, checked.rows);
    }
    await compareEvents(session, bankId);
    return missing;
  } finally {
    await session.query('rollback').catch(() => undefined);
  }
}

/** @returns how many memories of them were forgotten here */
async function compareRows({ session, bankId, checked }: Comparison, forgotten: ForgottenHere, batch: RowBatch) {
  const { table } = batch[0];
  switch (table) {
    case 'memories': {
      const others = await differing(session, memoriesThatDiffer, batch, bankId);
      const gone = await forgotten.among(others.map(({ id }) => id));
      const other = others.find(({ id, isHere }) => isHere || !gone.has(id));
      if (other) throw conflict(bankId, `line ${other.line}, memory ${other.id}`);
      return others.length;
    }
    case 'observations': {
      const [other] = await differing(session, observationsThatDiffer, batch, bankId);
      if (other) throw conflict(bankId, `line ${other.line}, observation ${other.id}`);
      return 0;
    }
    case 'change_sets': {
      const [other] = await differing(session, changeSetsThatDiffer, batch, bankId);
      if (other) throw conflict(bankId, `line ${other.line}, change set ${other.id}`);
      return 0;
    }
    case 'events':
      await session.query(insertStatement(table, checked.header.columns[table] ?? []), [
        jsonOf(batch),
        bankId,
        null,
        null,
      ]);
      return 0;
    // What hangs on those and has none of its own to tell: forgotten with them, or cleared away by time.
    default:
      return 0;
  }
}

// Primary key. Versions only grow (law L22): a lower one here is one that has not come this far.
const memoriesThatDiffer = `
  select l.n::int as n, r.id, m.id is not null as "isHere"
  from jsonb_array_elements($1::jsonb) with ordinality as l(line, n)
  cross join lateral jsonb_to_record(l.line -> 'row') as r(id uuid, version bigint, text text)
  left join engram.memories m on m.bank_id = $2 and m.id = r.id
  where m.id is null or m.version < r.version or m.version = r.version and m.text <> r.text
  order by l.n`;

// Primary keys of observations and erasures, index events_bank. One that is not here was erased with a memory.
const observationsThatDiffer = `
  select l.n::int as n, r.id, o.id is not null as "isHere"
  from jsonb_array_elements($1::jsonb) with ordinality as l(line, n)
  cross join lateral jsonb_to_record(l.line -> 'row') as r(id uuid, version bigint, text text)
  left join engram.observations o on o.bank_id = $2 and o.id = r.id
  where o.version < r.version or o.version = r.version and o.text <> r.text
    or o.id is null
      and not exists (select from engram.erasures e where e.bank_id = $2 and r.id = any(e.observation_ids))
      and not exists (select from engram.events e
        where e.bank_id = $2 and e.kind = 'observation.erased' and e.observation_id = r.id)
  order by l.n`;

// Primary key.
const changeSetsThatDiffer = `
  select l.n::int as n, r.id, false as "isHere"
  from jsonb_array_elements($1::jsonb) with ordinality as l(line, n)
  cross join lateral jsonb_to_record(l.line -> 'row') as r(id uuid)
  left join engram.change_sets s on s.bank_id = $2 and s.id = r.id
  where s.id is null order by l.n`;

async function differing(session: DirectSession, statement: string, batch: RowBatch, bankId: string) {
  const { rows } = await session.query<{ n: number; id: string; isHere: boolean }>(statement, [jsonOf(batch), bankId]);
  return rows.map(({ n, ...row }) => ({ ...row, line: batch[n - 1]?.line ?? batch[0].line }));
}

/** All that happens to a bank is in its timeline, from which nothing is taken: an event more is a bank that went on. */
async function compareEvents(session: DirectSession, bankId: string): Promise<void> {
  // One pass over the bank's events (index events_bank), hashed against those of the file.
  const { rows } = await session.query<{ kind: string; at: string }>(
    `select i.kind, to_char(i.at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at from incoming_events i
     where not exists (select from engram.events e where e.bank_id = $1 and e.at = i.at and e.kind = i.kind
       and e.memory_id is not distinct from i.memory_id and e.observation_id is not distinct from i.observation_id
       and e.change_set_id is not distinct from i.change_set_id)
     order by i.at limit 1`,
    [bankId],
  );
  if (rows[0]) throw conflict(bankId, `${rows[0].kind} at ${rows[0].at}`);
}

function conflict(bankId: string, difference: string): ImportConflictError {
  return new ImportConflictError(
    `bank ${bankId} is there and holds something else than this export (${difference}): import it under another name with --bank; nothing was imported`,
  );
}
