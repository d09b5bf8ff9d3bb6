import type { DirectSession } from '../../db/direct-session.ts';
import { addErasuresDue, type Erasure } from '../../store/erasures-due.ts';
import type { RowBatch } from './row-batches.ts';

const uuids = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi;

/**
 * What this database was told to forget in any bank, and a file names, wherever in it: a memory keeps its id under every
 * name that its bank is given. A file that was written after its own bank had forgotten something holds no word of it any
 * more.
 */
export class ForgottenHere {
  readonly #session: DirectSession;
  readonly #isNothing: boolean;
  readonly #named = new Set<string>();
  readonly #forgottenThere = new Set<string>();

  private constructor(session: DirectSession, isNothing: boolean) {
    this.#session = session;
    this.#isNothing = isNothing;
  }

  /** In the transaction of the import, and for as long as that. */
  static async read(session: DirectSession): Promise<ForgottenHere> {
    // One pass over both: their primary keys begin with the bank, and whoever asks has only the id.
    await session.query(
      'create temp table forgotten_here (memory_id uuid primary key, erased_at timestamptz not null) on commit drop',
    );
    const { rowCount } = await session.query(
      `insert into forgotten_here select memory_id, min(erased_at) from (
         select memory_id, erased_at from engram.erasures
         union all select memory_id, erased_at from engram.erasures_due) as e
       group by memory_id`,
    );
    return new ForgottenHere(session, rowCount === 0);
  }

  /** Those of them that were forgotten here, in lower case. */
  async among(memoryIds: readonly string[]): Promise<ReadonlySet<string>> {
    if (this.#isNothing || memoryIds.length === 0) return new Set();
    // Primary key of forgotten_here.
    const { rows } = await this.#session.query<{ id: string }>(
      'select memory_id as id from forgotten_here where memory_id = any($1::uuid[])',
      [memoryIds],
    );
    return new Set(rows.map(({ id }) => id));
  }

  async note(batch: RowBatch): Promise<void> {
    if (this.#isNothing) return;
    if (batch[0].table === 'erasures') {
      for (const { row } of batch) this.#forgottenThere.add(String(row.memory_id).toLowerCase());
      return;
    }
    const ids = batch.flatMap(({ text }) => Array.from(text.matchAll(uuids), ([found]) => found.toLowerCase()));
    for (const id of await this.among([...new Set(ids)])) this.#named.add(id);
  }

  /**
   * Lists what came back as due to be erased again, and takes it out of everybody's sight at once: whoever brought it may
   * die before that.
   *
   * @returns how many memories
   */
  async makeDue(bankId: string): Promise<number> {
    if (this.#isNothing) return 0;
    // Primary keys, or one pass over the bank. The trigger marks what rests on them, which nobody is shown from then on.
    const { rows: came } = await this.#session.query<{ id: string }>(
      `with came as materialized (
         select m.id from engram.memories m join forgotten_here f on f.memory_id = m.id where m.bank_id = $1),
       hidden as (
         update engram.memories m set invalidated_at = clock_timestamp() from came
         where m.bank_id = $1 and m.id = came.id and m.invalidated_at is null)
       select id from came`,
      [bankId],
    );
    const inHistory = [...this.#named].filter((id) => !this.#forgottenThere.has(id));
    // Primary key of forgotten_here.
    const { rows: due } = await this.#session.query<Erasure>(
      `select $1 as "bankId", memory_id as "memoryId", erased_at as "erasedAt" from forgotten_here
       where memory_id = any($2::uuid[])`,
      [bankId, [...came.map(({ id }) => id), ...inHistory]],
    );
    await addErasuresDue(this.#session, due);
    return due.length;
  }
}
