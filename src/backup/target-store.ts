import type { Queryable } from '../db/database.ts';
import { quoteName } from '../db/direct-session.ts';
import { DatabaseNewerError, sqlState } from '../db/errors.ts';
import type { Migration } from '../db/migrate.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { assertNothingAdded, type OwnNames, readParts } from './added-parts.ts';
import { RestoreRefusedError } from './backup-errors.ts';
import { type Belongings, readBelongings } from './belongings.ts';
import { keptTables, leftOutTables } from './kept-tables.ts';
import { engramTables } from './schema-parts.ts';
import { readSequences, type SequenceValue } from './sequences.ts';

/** What stands where a backup is to be restored to. All of it 0 where engramd has never been. */
export interface TargetStore {
  readonly schema: number;
  readonly banks: number;
  readonly memories: number;
  /** What only grows, and goes on from here whatever the backup says (law L22). */
  readonly epoch: number;
  readonly lifeVersion: number;
  readonly tick: number;
  readonly fence: number;
  readonly sequences: readonly SequenceValue[];
  readonly belongings: Belongings;
}

/** What engramd makes in its schema, whichever version made it. */
export function ownNames(migrations: readonly Migration[]): OwnNames {
  return {
    tables: [...keptTables, ...Object.keys(leftOutTables)],
    functions: migrations.flatMap(({ sql }) =>
      [...sql.matchAll(/^create (?:or replace )?function engram\.(\w+)/gm)].map(([, name = '']) => name),
    ),
  };
}

/**
 * @param owner of what is not there yet
 * @throws DatabaseNewerError
 */
export async function readTarget(
  session: Queryable,
  migrations: readonly Migration[],
  owner: string | null,
): Promise<TargetStore> {
  const newest = migrations.length;
  const tables = new Set(await engramTables(session));
  // Single rows, and the counts of two tables: whoever is told what is there decides by it.
  const numberIn = async (table: string, statement: string): Promise<number> => {
    if (!tables.has(table)) return 0;
    const { rows } = await session.query<{ value: string }>(statement);
    return Number(rows[0]?.value ?? 0);
  };
  const schema = await numberIn('migrations', 'select max(version)::text as value from engram.migrations');
  if (schema > newest) {
    throw new DatabaseNewerError(
      `the database to restore into is at schema version ${schema}, this engramd knows ${newest}: it was migrated by a newer engramd; upgrade this one`,
    );
  }
  return {
    schema,
    banks: await numberIn('banks', 'select count(*)::text as value from engram.banks'),
    memories: await numberIn('memories', 'select count(*)::text as value from engram.memories'),
    epoch: await numberIn('store', 'select epoch::text as value from engram.store'),
    lifeVersion: await numberIn('lifecycle', 'select version::text as value from engram.lifecycle'),
    tick: await numberIn('lifecycle', 'select tick::text as value from engram.lifecycle'),
    fence: await numberIn('leader', 'select fence::text as value from engram.leader'),
    sequences: await readSequences(session),
    belongings: await readBelongings(session, ownNames(migrations), owner),
  };
}

/**
 * Sets aside, for the length of the transaction, what a restore must not take back: what was forgotten, and what was
 * spent (law L19). Calls since the instant of the backup only, and where their columns are still these.
 */
export async function keepAside(
  session: Queryable,
  target: TargetStore,
  options: { readonly newest: number; readonly snapshotAt: string },
): Promise<void> {
  await session.query(
    `create temp table kept_erasures (bank_id text, memory_id uuid, observation_ids uuid[], erased_at timestamptz)
     on commit drop`,
  );
  await session.query(
    `create temp table kept_ledger (day date, nano_usd bigint, tokens bigint, unpriced_tokens bigint, calls integer)
     on commit drop`,
  );
  await session.query('create temp table kept_calls (call jsonb) on commit drop');
  const tables = new Set(await engramTables(session));
  // Whole tables, once.
  if (tables.has('erasures')) {
    await session.query(
      'insert into kept_erasures select bank_id, memory_id, observation_ids, erased_at from engram.erasures',
    );
  }
  if (tables.has('erasures_due')) {
    await session.query(
      `insert into kept_erasures select bank_id, memory_id, '{}', erased_at from engram.erasures_due`,
    );
  }
  if (tables.has('budget_ledger')) {
    await session.query(
      'insert into kept_ledger select day, nano_usd, tokens, unpriced_tokens, calls from engram.budget_ledger',
    );
  }
  if (tables.has('model_calls') && target.schema === options.newest) {
    await session.query('insert into kept_calls select to_jsonb(c) from engram.model_calls c where started_at >= $1', [
      options.snapshotAt,
    ]);
  }
}

/**
 * Waits for those who write, before anything is read that they may still add to, and keeps others off.
 *
 * @throws RestoreRefusedError where somebody holds the store
 */
export async function lockStore(session: Queryable, lockWaitMs: number): Promise<void> {
  if (!(await engramTables(session)).includes('store')) return;
  try {
    await session.query(`select set_config('lock_timeout', $1, true)`, [String(lockWaitMs)]);
    await session.query('lock table engram.store in access exclusive mode');
  } catch (thrown) {
    throw explainRefusal(thrown, lockWaitMs);
  }
}

/**
 * Drops what is engramd's in schema `engram`, and nothing else: the schema may be somebody's who made it for us. Whoever
 * begins to write meanwhile waits for the end of the transaction, and finds another epoch then.
 *
 * @throws RestoreRefusedError where somebody holds the tables, or keeps something that stands or rests on them
 */
export async function dropStore(
  session: Queryable,
  { schema }: TargetStore,
  options: { readonly migrations: readonly Migration[]; readonly lockWaitMs: number },
): Promise<void> {
  const { migrations, lockWaitMs } = options;
  const all = ownNames(migrations);
  const tables = (await engramTables(session)).filter((name) => all.tables.includes(name));
  if (tables.length === 0) return dropFunctions(session, all);
  const own = { ...all, tables };
  let parts: string[];
  try {
    await session.query(`select set_config('lock_timeout', $1, true)`, [String(lockWaitMs)]);
    const names = tables.map((name) => `engram.${quoteName(name)}`).join(', ');
    await session.query(`lock table ${names} in access exclusive mode`);
    parts = await readParts(session, own);
    await session.query(`drop table ${names}`);
    await dropFunctions(session, own);
    await session.query('set local lock_timeout = 0');
  } catch (thrown) {
    throw explainRefusal(thrown, lockWaitMs);
  }
  // Tables that say nothing of their version are of this one.
  const version = schema === 0 ? migrations.length : schema;
  await assertNothingAdded(session, { parts, own }, migrations.slice(0, version));
}

async function dropFunctions(session: Queryable, { functions }: OwnNames): Promise<void> {
  // Index pg_proc_proname_args_nsp_index. Last ones first: they may use the others.
  const { rows } = await session.query<{ signature: string }>(
    `select oid::regprocedure::text as signature from pg_proc
     where pronamespace = to_regnamespace('engram') and proname = any($1::text[]) order by oid desc`,
    [functions],
  );
  for (const { signature } of rows) await session.query(`drop function ${signature}`);
}

function explainRefusal(thrown: unknown, lockWaitMs: number): unknown {
  const state = sqlState(thrown);
  if (state === '55P03') {
    return new RestoreRefusedError(
      `somebody is at work on the tables of the database and did not come to an end in ${lockWaitMs / 1000} s: end whatever runs on it (a daemon, psql), then try again`,
      { cause: thrown },
    );
  }
  if (state === '2BP01') {
    const detail = thrown instanceof Error && 'detail' in thrown ? String(thrown.detail) : errorMessage(thrown);
    return new RestoreRefusedError(
      `something that is not engramd's rests on its tables, and would go with them: ${detail.replaceAll('\n', '; ')}. Drop it, and make it again after the restore`,
      { cause: thrown },
    );
  }
  return thrown;
}
