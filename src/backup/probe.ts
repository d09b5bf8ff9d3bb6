import type { Queryable } from '../db/database.ts';
import { textHits } from '../store/recall-rows.ts';
import type { Manifest } from './manifest.ts';

export type Probe = NonNullable<Manifest['probe']>;

const limit = 10;
/** Beyond it equals are many, and which of them come is chance. */
const mostHits = 100;
const words = 2;

/** A search that finds something, and what it finds; null where no bank has a memory with a word in it. */
export async function makeProbe(db: Queryable): Promise<Probe | null> {
  const memory = await newestMemory(db);
  if (!memory) return null;
  const asked = { bankId: memory.bankId, query: rareWords(memory.text) };
  return asked.query === '' ? null : { ...asked, hits: await probeHits(db, asked) };
}

/** What the search finds here, in an order that is the same wherever the rows are. */
export async function probeHits(db: Queryable, probe: Pick<Probe, 'bankId' | 'query'>): Promise<Probe['hits']> {
  const found = await textHits(
    db,
    { bankId: probe.bankId, targets: ['memories', 'observations'], tags: [], observationStates: ['live'] },
    { query: probe.query, limit },
  );
  return (['memories', 'observations'] as const).flatMap((target) => {
    const hits = found
      .filter((hit) => hit.target === target)
      .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
    const last = hits.at(-1)?.score ?? 0;
    return hits.length > mostHits ? hits.filter(({ score }) => score > last) : hits;
  });
}

async function newestMemory(db: Queryable): Promise<{ bankId: string; text: string } | undefined> {
  // Index memories_state, backwards from the end of each bank and state.
  const { rows } = await db.query<{ bankId: string; text: string }>(
    `select b.id as "bankId", m.text from engram.banks b
     cross join (values ('pending'), ('consolidated'), ('proposed'), ('held'), ('parked')) as s(state)
     cross join lateral (
       select text, created_at from engram.memories
       where bank_id = b.id and state = s.state and invalidated_at is null
       order by created_at desc, id desc limit 1) as m
     order by m.created_at desc, b.id limit 1`,
  );
  return rows[0];
}

/** Numbers, and long words, are rare ones more often than not: the search stays small in a large bank. */
function rareWords(text: string): string {
  const found = [...new Set(text.match(/[\p{L}\p{N}]+/gu) ?? [])];
  return found
    .sort((a, b) => Number(/\p{N}/u.test(b)) - Number(/\p{N}/u.test(a)) || b.length - a.length)
    .slice(0, words)
    .join(' ');
}
