import type { DirectSession } from '../../db/direct-session.ts';
import { addErasuresDue } from '../../store/erasures-due.ts';
import type { ExportedRow } from './read-export.ts';

const uuids = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi;

/**
 * What this database was told to forget in any bank, and a file names, wherever in it: a memory keeps its id under every
 * name that its bank is given. A file that was written after its own bank had
 * forgotten something holds no word of it any more.
 */
export class ForgottenHere {
  readonly #erasedAt: ReadonlyMap<string, Date>;
  readonly #named = new Set<string>();
  readonly #forgottenThere = new Set<string>();

  private constructor(erasedAt: ReadonlyMap<string, Date>) {
    this.#erasedAt = erasedAt;
  }

  static async read(session: DirectSession): Promise<ForgottenHere> {
    // One pass over both, once an import: their primary keys begin with the bank, which may be any.
    const { rows } = await session.query<{ id: string; erased_at: Date }>(
      `select memory_id as id, min(erased_at) as erased_at from (
         select memory_id, erased_at from engram.erasures
         union all select memory_id, erased_at from engram.erasures_due) as e
       group by memory_id`,
    );
    return new ForgottenHere(new Map(rows.map((row) => [row.id, row.erased_at])));
  }

  has(memoryId: string): boolean {
    return this.#erasedAt.has(memoryId);
  }

  note({ table, row, text }: ExportedRow): void {
    if (this.#erasedAt.size === 0) return;
    if (table === 'erasures') {
      this.#forgottenThere.add(String(row.memory_id).toLowerCase());
      return;
    }
    for (const [found] of text.matchAll(uuids)) {
      const id = found.toLowerCase();
      if (this.#erasedAt.has(id)) this.#named.add(id);
    }
  }

  /**
   * Lists what came back as due to be erased again, and takes it out of everybody's sight at once: whoever brought it may
   * die before that.
   *
   * @returns how many memories
   */
  async makeDue(session: DirectSession, bankId: string): Promise<number> {
    if (this.#erasedAt.size === 0) return 0;
    // Primary key. The trigger marks what rests on them, which nobody is shown from then on.
    const { rows } = await session.query<{ id: string }>(
      `with came as materialized (
         select id from engram.memories where bank_id = $1 and id = any($2::uuid[])),
       hidden as (
         update engram.memories m set invalidated_at = clock_timestamp() from came
         where m.bank_id = $1 and m.id = came.id and m.invalidated_at is null)
       select id from came`,
      [bankId, [...this.#erasedAt.keys()]],
    );
    const inHistory = [...this.#named].filter((id) => !this.#forgottenThere.has(id));
    const due = new Set([...rows.map(({ id }) => id), ...inHistory]);
    const erasures = [...due].flatMap((memoryId) => {
      const erasedAt = this.#erasedAt.get(memoryId);
      return erasedAt === undefined ? [] : [{ bankId, memoryId, erasedAt }];
    });
    await addErasuresDue(session, erasures);
    return due.size;
  }
}
