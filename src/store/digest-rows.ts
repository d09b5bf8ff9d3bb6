import type { Queryable } from '../db/database.ts';
import type { ChangeOpKind } from './change-ops.ts';
import type { DigestWindow } from './digests.ts';

/** What the change sets of a night say by now: what was forgotten since is gone, what was undone is told as such. */

/** What happened in a bank in a night. */
export interface NightOfBank {
  readonly bankId: string;
  /** Operations that happened, those taken back since included, by kind. */
  readonly ops: Readonly<Partial<Record<ChangeOpKind, number>>>;
  readonly refused: number;
  readonly proposed: number;
  readonly parked: number;
  /** Memories that were scored; one that was edited between may have been scored twice. */
  readonly scored: number;
}

/** Banks in which something happened, those with the most first. */
export async function banksOfNight(db: Queryable, night: DigestWindow): Promise<NightOfBank[]> {
  // Index change_sets_created a bank, primary key of change_ops, events_parked, events_significance.
  const { rows } = await db.query<NightOfBank>(
    `select b.id as "bankId", coalesce(c.ops, '{}') as ops, coalesce(c.refused, 0)::int as refused,
       coalesce(c.proposed, 0)::int as proposed, p.parked, m.scored
     from engram.banks b
     cross join lateral (
       select jsonb_object_agg(op, n) filter (where n > 0) as ops, sum(refused) as refused, sum(proposed) as proposed,
         sum(n) as happened
       from (
         select o.op, count(*) filter (where o.status in ('applied', 'undone') and o.erased_at is null) as n,
           count(*) filter (where o.status = 'rejected' and o.verdicts <> '[]') as refused,
           count(*) filter (where o.status = 'proposed') as proposed
         from engram.change_sets s join engram.change_ops o on o.bank_id = s.bank_id and o.change_set_id = s.id
         where s.bank_id = b.id and s.created_at >= $1 and s.created_at < $2
           and s.kind in ('consolidation', 'contradictions', 'sweep')
         group by o.op) as by_kind) as c
     cross join lateral (
       select count(*)::int as parked from engram.events e
       where e.bank_id = b.id and e.kind = 'memory.parked' and e.at >= $1 and e.at < $2) as p
     cross join lateral (
       select count(*)::int as happened, count(*) filter (where e.kind = 'memory.scored')::int as scored
       from engram.events e
       where e.bank_id = b.id and e.at >= $1 and e.at < $2
         and e.kind in ('memory.scored', 'memory.pinned', 'memory.unpinned', 'memory.evicted')) as m
     where c.happened > 0 or c.refused > 0 or c.proposed > 0 or p.parked > 0 or m.happened > 0
     order by c.happened desc nulls last, b.id`,
    [night.fromAt, night.toAt],
  );
  return rows;
}

/** An operation, with the texts that stood before and after it. */
export interface NightOp {
  readonly op: ChangeOpKind;
  readonly isUndone: boolean;
  readonly before: string | null;
  readonly after: string | null;
  /** Of a fold: what it is reached through, as it stands now; null: that is gone. */
  readonly into: string | null;
}

/** The first operations of each kind that moved a text, in their order; those whose texts were erased are left out. */
export async function opsOfNight(
  db: Queryable,
  bankId: string,
  options: DigestWindow & { readonly eachKind: number },
): Promise<NightOp[]> {
  // Index change_sets_created; primary keys.
  const { rows } = await db.query<NightOp>(
    `select n.op, n."isUndone", n.before, n.after, r.text as into
     from (
       select o.op, o.status = 'undone' as "isUndone", o.result_id, o.before -> 'target' ->> 'text' as before,
         coalesce(o.after -> 'created' ->> 'text', o.after -> 'target' ->> 'text') as after,
         row_number() over (partition by o.op order by s.created_at, s.id, o.seq) as place
       from engram.change_sets s join engram.change_ops o on o.bank_id = s.bank_id and o.change_set_id = s.id
       where s.bank_id = $1 and s.created_at >= $2 and s.created_at < $3
         and s.kind in ('consolidation', 'contradictions', 'sweep')
         and o.status in ('applied', 'undone') and o.erased_at is null
         and o.op in ('create', 'supersede', 'revise', 'fold', 'retire')) as n
     left join engram.observations r on n.op = 'fold' and r.bank_id = $1 and r.id = n.result_id
     where n.place <= $4 order by n.op, n.place`,
    [bankId, options.fromAt, options.toAt, options.eachKind],
  );
  return rows;
}

/** Which judges refused how many operations, those that refused the most first. */
export async function refusalsOfNight(
  db: Queryable,
  bankId: string,
  night: DigestWindow,
): Promise<{ validator: string; times: number }[]> {
  // Index change_sets_created; primary key of change_ops.
  const { rows } = await db.query<{ validator: string; times: number }>(
    `select v ->> 'validator' as validator, count(*)::int as times
     from engram.change_sets s
     join engram.change_ops o on o.bank_id = s.bank_id and o.change_set_id = s.id and o.status = 'rejected'
     cross join lateral jsonb_array_elements(o.verdicts) as v
     where s.bank_id = $1 and s.created_at >= $2 and s.created_at < $3 group by 1 order by 2 desc, 1`,
    [bankId, night.fromAt, night.toAt],
  );
  return rows;
}

/** Two that cannot both hold, and of which nobody has said yet which does. */
export interface NightConflict {
  readonly id: string;
  readonly left: string;
  readonly right: string;
}

export async function conflictsOfNight(db: Queryable, bankId: string, night: DigestWindow): Promise<NightConflict[]> {
  // One pass over the bank's conflicts, which are few; primary key of observations.
  const { rows } = await db.query<NightConflict>(
    `select c.id, l.text as left, r.text as right from engram.conflicts c
     join engram.observations l on l.bank_id = c.bank_id and l.id = c.left_id
     join engram.observations r on r.bank_id = c.bank_id and r.id = c.right_id
     where c.bank_id = $1 and c.status = 'open' and c.created_at >= $2 and c.created_at < $3 order by c.created_at, c.id`,
    [bankId, night.fromAt, night.toAt],
  );
  return rows;
}

/** A change set that waits for a person; the texts are those of its first operation. */
export interface NightProposal {
  readonly id: string;
  readonly ops: number;
  readonly op: ChangeOpKind;
  readonly before: string | null;
  readonly after: string | null;
}

export async function proposalsOfNight(db: Queryable, bankId: string, night: DigestWindow): Promise<NightProposal[]> {
  // Index change_sets_proposed; primary key of change_ops.
  const { rows } = await db.query<NightProposal>(
    `select s.id, count(*)::int as ops, (array_agg(o.op order by o.seq))[1] as op,
       (array_agg(o.before -> 'target' ->> 'text' order by o.seq))[1] as before,
       (array_agg(coalesce(o.after -> 'created' ->> 'text', o.after -> 'target' ->> 'text') order by o.seq))[1] as after
     from engram.change_sets s
     join engram.change_ops o on o.bank_id = s.bank_id and o.change_set_id = s.id and o.status = 'proposed'
     where s.bank_id = $1 and s.status = 'proposed' and s.created_at >= $2 and s.created_at < $3
     group by s.id, s.created_at order by s.created_at, s.id`,
    [bankId, night.fromAt, night.toAt],
  );
  return rows;
}

/** Memories that were given up in the night, and still are. */
export async function parkedInNight(
  db: Queryable,
  bankId: string,
  night: DigestWindow,
): Promise<{ text: string; reason: string | null }[]> {
  // Index events_parked; primary key of memories.
  const { rows } = await db.query<{ text: string; reason: string | null }>(
    `select m.text, m.state_reason as reason from engram.memories m
     where m.bank_id = $1 and m.state = 'parked' and m.invalidated_at is null and m.id in (
       select e.memory_id from engram.events e
       where e.bank_id = $1 and e.kind = 'memory.parked' and e.at >= $2 and e.at < $3)
     order by m.id`,
    [bankId, night.fromAt, night.toAt],
  );
  return rows;
}

/** A memory whose pin came or went; what the night did to it last counts. */
export interface NightPin {
  readonly change: 'pinned' | 'evicted';
  readonly text: string;
  readonly isByHand: boolean;
  /** Whether it is pinned by now. */
  readonly isPinned: boolean;
  /** How many there are of its change. */
  readonly ofChange: number;
}

/** The first of each change, newest first; what was forgotten or invalidated since is left out. */
export async function pinsOfNight(
  db: Queryable,
  bankId: string,
  options: DigestWindow & { readonly eachChange: number },
): Promise<NightPin[]> {
  // Index events_significance; primary key of memories.
  const { rows } = await db.query<NightPin>(
    `select n.change, n.text, n."isByHand", n."isPinned", n."ofChange"
     from (
       select l.change, m.text, l."isByHand", m.pin is not null as "isPinned",
         count(*) over (partition by l.change)::int as "ofChange",
         row_number() over (partition by l.change order by l.id desc) as place
       from (
         select distinct on (e.memory_id) e.memory_id, e.id, substr(e.kind, length('memory.') + 1) as change,
           e.detail ->> 'pin' is not distinct from 'manual' as "isByHand"
         from engram.events e
         where e.bank_id = $1 and e.at >= $2 and e.at < $3
           and e.kind in ('memory.pinned', 'memory.unpinned', 'memory.evicted')
         order by e.memory_id, e.id desc) as l
       join engram.memories m on m.bank_id = $1 and m.id = l.memory_id and m.invalidated_at is null
       where l.change in ('pinned', 'evicted')) as n
     where n.place <= $4 order by n.change desc, n.place`,
    [bankId, options.fromAt, options.toAt, options.eachChange],
  );
  return rows;
}

/** How each step of the cycle went, in their order. */
export async function stepsOfNight(
  db: Queryable,
  cycleId: string,
): Promise<{ name: string; status: string; note: string | null; error: string | null }[]> {
  // Primary key.
  const { rows } = await db.query<{ name: string; status: string; note: string | null; error: string | null }>(
    'select name, status, note, error from engram.sleep_steps where cycle_id = $1 order by position',
    [cycleId],
  );
  return rows;
}

/** What models cost in the night, over all banks. */
export async function costOfNight(
  db: Queryable,
  night: DigestWindow,
): Promise<{ calls: number; tokens: number; unpricedTokens: number; nanoUsd: number }> {
  // Index model_calls_day; days are local to the daemons.
  const { rows } = await db.query<{ calls: number; tokens: number; unpricedTokens: number; nanoUsd: number }>(
    `select count(*)::int as calls, coalesce(sum(tokens), 0)::bigint as tokens,
       coalesce(sum(unpriced_tokens), 0)::bigint as "unpricedTokens", coalesce(sum(nano_usd), 0)::bigint as "nanoUsd"
     from engram.model_calls
     where day between ($1::timestamptz - interval '1 day')::date and ($2::timestamptz + interval '1 day')::date
       and started_at >= $1 and started_at < $2 and outcome is distinct from 'not_sent'`,
    [night.fromAt, night.toAt],
  );
  return rows[0] ?? { calls: 0, tokens: 0, unpricedTokens: 0, nanoUsd: 0 };
}
