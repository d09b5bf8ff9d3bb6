import type { Queryable } from '../db/database.ts';
import type { PageEnd } from './memory-rows.ts';

/** What a night came to as it was counted at its end, over all banks. What is undone or forgotten later stays counted. */
export interface DigestCounts {
  readonly added: number;
  readonly superseded: number;
  readonly folded: number;
  /** Operations that a judge refused. */
  readonly refused: number;
  readonly conflicts: number;
  /** Operations that waited for a person. */
  readonly proposed: number;
  readonly parked: number;
  readonly scored: number;
  /** By their score or by hand. */
  readonly pinned: number;
  /** Unpinned to make room. */
  readonly evicted: number;
  readonly calls: number;
  readonly tokens: number;
  /** In billionths of a dollar. */
  readonly nanoUsd: number;
}

/** The time that a digest tells of: `fromAt` included, `toAt` not, so that two nights neither overlap nor leave a gap. */
export interface DigestWindow {
  readonly fromAt: Date;
  readonly toAt: Date;
}

export interface Digest extends DigestWindow {
  readonly id: string;
  readonly cycleId: string;
  readonly madeAt: Date;
  readonly counts: DigestCounts;
}

/** Nights of before there were scores count none. */
const columns = `id, cycle_id as "cycleId", from_at as "fromAt", to_at as "toAt", made_at as "madeAt",
  '{"scored":0,"pinned":0,"evicted":0}'::jsonb || counts as counts`;

/**
 * Makes the digest of a cycle, once: of the time since the last one, or since the first daemon started here, though not of
 * more than a day then. A transaction that is under way meanwhile is missing from the counts and not from the text, which
 * is made when it is read.
 */
export async function makeDigest(
  db: Queryable,
  digest: { readonly id: string; readonly cycleId: string },
): Promise<Digest> {
  // Index change_sets_created a bank, primary key of change_ops, events_parked, events_significance, model_calls_day.
  // Once a night.
  await db.query(
    `with since as materialized (
       select coalesce((select max(to_at) from engram.digests), date_trunc('milliseconds',
         greatest((select min(started_at) from engram.instances), now() + interval '1 ms' - interval '24 hours'))) as from_at),
     -- Whole milliseconds, as a Date holds them: what lay between would be counted and never told.
     night as materialized (
       select from_at, greatest(date_trunc('milliseconds', now()) + interval '1 ms', from_at) as to_at from since),
     ops as materialized (
       select o.op, o.status, o.verdicts from night n
       cross join engram.banks b
       join engram.change_sets s on s.bank_id = b.id and s.created_at >= n.from_at and s.created_at < n.to_at
         and s.kind in ('consolidation', 'contradictions', 'sweep')
       join engram.change_ops o on o.bank_id = s.bank_id and o.change_set_id = s.id),
     changed as (
       select count(*) filter (where op = 'create' and status = 'applied') as added,
         count(*) filter (where op = 'supersede' and status = 'applied') as superseded,
         count(*) filter (where op = 'fold' and status = 'applied') as folded,
         count(*) filter (where op = 'conflict' and status = 'applied') as conflicts,
         count(*) filter (where status = 'proposed') as proposed,
         count(*) filter (where status = 'rejected' and verdicts <> '[]') as refused from ops),
     parked as (
       select count(*) as parked from night n cross join engram.banks b
       join engram.events e on e.bank_id = b.id and e.kind = 'memory.parked' and e.at >= n.from_at and e.at < n.to_at),
     mattered as (
       select count(*) filter (where e.kind = 'memory.scored') as scored,
         count(*) filter (where e.kind = 'memory.pinned') as pinned,
         count(*) filter (where e.kind = 'memory.evicted') as evicted
       from night n cross join engram.banks b
       join engram.events e on e.bank_id = b.id and e.at >= n.from_at and e.at < n.to_at
         and e.kind in ('memory.scored', 'memory.pinned', 'memory.unpinned', 'memory.evicted')),
     cost as (
       select count(*) as calls, coalesce(sum(c.tokens), 0) as tokens, coalesce(sum(c.nano_usd), 0) as nano_usd
       from night n join engram.model_calls c on c.day between (n.from_at - interval '1 day')::date and (n.to_at + interval '1 day')::date
         and c.started_at >= n.from_at and c.started_at < n.to_at and c.outcome is distinct from 'not_sent')
     insert into engram.digests (id, cycle_id, from_at, to_at, counts)
       select $1, $2, n.from_at, n.to_at, jsonb_build_object('added', c.added, 'superseded', c.superseded,
         'folded', c.folded, 'refused', c.refused, 'conflicts', c.conflicts, 'proposed', c.proposed, 'parked', p.parked,
         'scored', s.scored, 'pinned', s.pinned, 'evicted', s.evicted, 'calls', m.calls, 'tokens', m.tokens, 'nanoUsd', m.nano_usd)
       from night n, changed c, parked p, mattered s, cost m
     on conflict (cycle_id) do nothing`,
    [digest.id, digest.cycleId],
  );
  // Unique index over cycle_id.
  const { rows } = await db.query<Digest>(`select ${columns} from engram.digests where cycle_id = $1`, [
    digest.cycleId,
  ]);
  const [made] = rows;
  if (!made) throw new Error('a digest was made and is not there');
  return made;
}

/** Newest first: all, or those of nights that ended in a span of time. */
export async function listDigests(
  db: Queryable,
  options: {
    readonly endedFrom: Date | null;
    readonly endedBefore: Date | null;
    readonly after: PageEnd | undefined;
    readonly limit: number;
  },
): Promise<{ digests: Digest[]; end: PageEnd | undefined }> {
  // A row a night: one pass.
  const { rows } = await db.query<Digest & { at: string }>(
    `select ${columns}, to_char(to_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at from engram.digests
     where ($1::timestamptz is null or to_at >= $1) and ($2::timestamptz is null or to_at < $2)
       and ($3::timestamptz is null or (to_at, id) < ($3, $4::uuid))
     order by to_at desc, id desc limit $5`,
    [options.endedFrom, options.endedBefore, options.after?.at ?? null, options.after?.id ?? null, options.limit + 1],
  );
  const page = rows.slice(0, options.limit);
  const last = page.at(-1);
  return {
    digests: page.map(({ at: _, ...digest }) => digest),
    end: rows.length > options.limit && last ? { at: last.at, id: last.id } : undefined,
  };
}

export async function findDigest(db: Queryable, id: string): Promise<Digest | undefined> {
  // Primary key.
  const { rows } = await db.query<Digest>(`select ${columns} from engram.digests where id = $1`, [id]);
  return rows[0];
}
