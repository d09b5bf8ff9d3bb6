import { expect } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { everything, type WorkloadMemory } from './workload.ts';

/** A bank as a reader would describe it: no ids, no clocks. Two banks that were told the same read the same. */
export interface BankStory {
  readonly observations: readonly unknown[];
  readonly conflicts: readonly unknown[];
  /** Every operation that was applied, sorted. */
  readonly ops: readonly unknown[];
  /** How often each kind of thing happened. */
  readonly events: readonly unknown[];
}

export async function readStory(db: Database, bank: string): Promise<BankStory> {
  const [observations, conflicts, ops, events] = await Promise.all([
    db.query(
      `select o.tags, o.text, o.is_live, o.valid_from, o.valid_to, o.retired_at is not null as is_retired,
         (select s.text from engram.observations s where s.bank_id = o.bank_id and s.id = o.superseded_by) as superseded_by,
         (select s.text from engram.observations s where s.bank_id = o.bank_id and s.id = o.canonical_id) as folded_into,
         (select count(*)::int from engram.observation_sources l where l.bank_id = o.bank_id and l.observation_id = o.id) as evidence,
         (select array_agg(m.text || ' @ ' || m.mentioned_at::text order by m.mentioned_at, m.text)
            from engram.observation_sources l join engram.memories m on m.bank_id = l.bank_id and m.id = l.memory_id
            where l.bank_id = o.bank_id and l.observation_id = o.id) as sources
       from engram.observations o where o.bank_id = $1 order by o.tags, o.text, o.valid_from, evidence`,
      [bank],
    ),
    db.query(
      `select least(l.text, r.text) as one, greatest(l.text, r.text) as other, c.status
       from engram.conflicts c
       join engram.observations l on l.bank_id = c.bank_id and l.id = c.left_id
       join engram.observations r on r.bank_id = c.bank_id and r.id = c.right_id
       where c.bank_id = $1 order by 1, 2`,
      [bank],
    ),
    db.query(
      `select c.op, c.status, t.text as target, r.text as result,
         (select array_agg(m.text || ' @ ' || m.mentioned_at::text order by m.mentioned_at, m.text)
            from engram.memories m where m.bank_id = c.bank_id and m.id = any(c.memory_ids)) as memories
       from engram.change_ops c
       left join engram.observations t on t.bank_id = c.bank_id and t.id = c.target_id
       left join engram.observations r on r.bank_id = c.bank_id and r.id = c.result_id
       where c.bank_id = $1 order by 1, 2, 3, 4, 5`,
      [bank],
    ),
    // Scores come in their own time, and pins with them.
    db.query(
      `select kind, count(*)::int as times from engram.events
       where bank_id = $1 and kind not in ('memory.scored', 'memory.pinned', 'memory.evicted') group by 1 order by 1`,
      [bank],
    ),
  ]);
  return { observations: observations.rows, conflicts: conflicts.rows, ops: ops.rows, events: events.rows };
}

/** What holds for a bank that was given the whole workload, whatever died meanwhile. */
export async function expectAppliedOnce(
  db: Database,
  bank: string,
  answeredIds: readonly string[],
  attemptEnds: readonly string[] = ['applied', 'crashed'],
  posted: readonly WorkloadMemory[] = everything,
): Promise<void> {
  const ask = async (sql: string) => (await db.query<Record<string, unknown>>(sql, [bank])).rows;

  const memories = await ask(
    `select m.id, m.text, m.tags, m.mentioned_at, m.state, m.attempts, m.embedding is not null as embedded,
       (select count(distinct c.change_set_id)::int from engram.change_ops c
          join engram.change_sets s on s.bank_id = c.bank_id and s.id = c.change_set_id and s.status = 'applied'
          where c.bank_id = m.bank_id and m.id = any(c.memory_ids) and c.status = 'applied') as change_sets,
       (select count(*)::int from engram.attempts a
          where a.bank_id = m.bank_id and m.id = any(a.memory_ids) and a.outcome = 'applied') as applied_attempts
     from engram.memories m where m.bank_id = $1`,
  );
  const told = (memory: { text?: unknown; tags?: unknown; mentioned_at?: unknown }) =>
    JSON.stringify([memory.text, memory.tags, new Date(String(memory.mentioned_at)).toISOString()]);
  expect(memories.map(told).sort(), 'every posted memory exists exactly once').toEqual(posted.map(told).sort());
  expect(new Set(answeredIds), 'and is the one that its sender was told of').toEqual(
    new Set(memories.map(({ id }) => id).filter((id) => answeredIds.includes(String(id)))),
  );
  expect(new Set(answeredIds).size).toBe(answeredIds.length);
  for (const memory of memories) {
    expect(memory).toMatchObject({
      state: 'consolidated',
      attempts: 0,
      embedded: true,
      change_sets: 1,
      applied_attempts: 1,
    });
  }

  expect(
    await ask(
      `select tags, text from engram.observations where bank_id = $1 and is_live group by 1, 2 having count(*) > 1`,
    ),
    'live observations of one scope with one text',
  ).toEqual([]);
  expect(
    (await ask('select outcome from engram.attempts where bank_id = $1')).filter(
      ({ outcome }) => !attemptEnds.includes(String(outcome)),
    ),
    'attempts that ended otherwise, or not',
  ).toEqual([]);
  expect(
    await ask('select id, outcome from engram.runs where bank_id = $1 and finished_at is null'),
    'runs without an end',
  ).toEqual([]);
  expect(
    await ask(
      `select name, state from pgboss.job where singleton_key = $1 and name <> 'score' and state not in ('completed')`,
    ),
    'jobs that are not done',
  ).toEqual([]);
  expect(
    await ask(`select s.tags from engram.scopes s where s.bank_id = $1 and s.epoch <> (
      select max(o.scope_epoch) from engram.observations o where o.bank_id = s.bank_id and o.tags = s.tags)`),
    'scopes whose epoch is not that of their newest text',
  ).toEqual([]);
  expect(
    await ask(`select l.memory_id from engram.observation_sources l
      join engram.memories m on m.bank_id = l.bank_id and m.id = l.memory_id
      where l.bank_id = $1 and l.memory_version <> m.version`),
    'links to another version of their memory',
  ).toEqual([]);
  expect(
    await ask(`select o.id, o.version from engram.observations o where o.bank_id = $1 and o.version <> (
      select max((image->>'version')::bigint) from engram.change_ops c,
        jsonb_array_elements(jsonb_build_array(c.after->'target', c.after->'created') || (c.after->'repointed')) as image
      where c.bank_id = o.bank_id and c.status = 'applied' and image->>'id' = o.id::text)`),
    'observations whose version is not the last that the history wrote',
  ).toEqual([]);
  expect(
    await ask(`select o.id from engram.observations o where o.bank_id = $1 and 1 <> (
      select count(*) from engram.change_ops c where c.bank_id = o.bank_id and c.result_id = o.id and c.status = 'applied')`),
    'observations that were not created by exactly one op',
  ).toEqual([]);
}
