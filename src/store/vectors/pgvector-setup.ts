import type { Database } from '../../db/database.ts';
import { sqlState } from '../../db/errors.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import { indexedStatements, indexName } from './pgvector-statements.ts';
import type { VectorTarget } from './vector-index.ts';

const deadlock = '40P01';
const internalError = 'XX000';
/** Said of what somebody else changed or dropped in the meantime; 4 times in 60 rounds of three processes. Not translated. */
const metInCatalog = /^(tuple concurrently|could not open relation with OID|cache lookup failed)/;
/** Each is a second of waiting, after which another process has got on. */
const maxMeetings = 10;
const insufficientPrivilege = '42501';
/** Class of states: a value is not what it should be. */
const dataException = '22';

/**
 * Makes the index of a model's vectors in one table, unless it is there or another process is at it.
 *
 * CONCURRENTLY, although that cannot be undone by a rollback: where pgvector came after the rows, building takes
 * minutes, in which a plain CREATE INDEX would stop every write to the table. An attempt that died leaves an index that
 * is kept up to date and never used; it is dropped and built again.
 *
 * Where a row keeps it from being built, searches scan, which leaves that row out: nobody is without memory for one row.
 */
export async function ensureVectorIndex(
  deps: { readonly db: Database; readonly log: Log },
  target: VectorTarget,
  model: { readonly id: string; readonly dimensions: number },
): Promise<void> {
  const { db, log } = deps;
  const create = indexedStatements(model.dimensions)?.formatCreateIndex[target];
  const name = indexName(target, model.id);
  if (create === undefined) {
    log.info(
      { model: model.id, dimensions: model.dimensions },
      'pgvector indexes at most 4,000 dimensions; searches scan',
    );
    return;
  }
  // Looked at again after each step: "if not exists" is content with what another process left unfinished meanwhile.
  for (let meetings = 0; ; ) {
    try {
      switch (await indexState(db, name)) {
        case 'usable':
        case 'being built':
          return;
        case 'broken':
          // Two looks: a build that ends between the two halves of one seems to be neither done nor under way.
          if ((await indexState(db, name)) === 'broken') await dropIndex(db, name);
          break;
        case 'absent':
          await runFormatted(db, create, [name, model.id]);
          break;
      }
    } catch (thrown) {
      const state = sqlState(thrown);
      meetings += 1;
      if (hasMetAnother(thrown) && meetings < maxMeetings) continue;
      if (state?.startsWith(dataException)) {
        await dropIndex(db, name);
        log.warn(
          { index: name, model: model.id, error: errorMessage(thrown) },
          `vector searches scan: engram.${target} holds a vector of ${model.id} that cannot be indexed, which none of its own is; look for rows where cardinality(embedding) is not ${model.dimensions}`,
        );
        return;
      }
      if (state !== insufficientPrivilege) throw thrown;
      log.warn(
        { index: name, error: errorMessage(thrown) },
        `vector searches scan: the role of DATABASE_URL must own the table engram.${target} to index it`,
      );
      return;
    }
  }
}

/**
 * Takes the index of a model away that no row is written under any more: it would hold as much memory and disk as the one
 * in use. CONCURRENTLY, since searches of a process that has not noticed yet read the table meanwhile; they scan then.
 */
export async function dropVectorIndex(db: Database, target: VectorTarget, modelId: string): Promise<void> {
  await dropIndex(db, indexName(target, modelId));
}

async function dropIndex(db: Database, name: string): Promise<void> {
  for (let meetings = 1; ; meetings += 1) {
    try {
      await runFormatted(db, "select format('drop index concurrently if exists engram.%I', $1::text) as text", [name]);
      return;
    } catch (thrown) {
      if (!hasMetAnother(thrown) || meetings >= maxMeetings) throw thrown;
    }
  }
}

/** Of two that build, or drop, on one table: they wait for each other's snapshots, and the server ends one of them. */
function hasMetAnother(thrown: unknown): boolean {
  const state = sqlState(thrown);
  return state === deadlock || (state === internalError && metInCatalog.test(errorMessage(thrown)));
}

async function indexState(db: Database, name: string): Promise<'usable' | 'being built' | 'broken' | 'absent'> {
  // Index: pg_class_relname_nsp_index.
  const { rows } = await db.query<{ usable: boolean; building: boolean }>(
    `select i.indisvalid as usable,
       exists (select from pg_stat_progress_create_index p
         where p.datname = current_database() and p.relid = i.indrelid) as building
     from pg_index i where i.indexrelid = to_regclass($1)`,
    [`engram.${name}`],
  );
  const index = rows[0];
  if (!index) return 'absent';
  if (index.usable) return 'usable';
  return index.building ? 'being built' : 'broken';
}

/** Outside any transaction: neither statement may run in one. */
async function runFormatted(db: Database, format: string, values: readonly string[]): Promise<void> {
  const { rows } = await db.query<{ text: string }>(format, values);
  const text = rows[0]?.text;
  if (text !== undefined) await db.query(text);
}
