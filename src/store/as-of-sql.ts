/** Parts of the statements of `as-of-rows.ts` and `as-of-vectors.ts`. In every one $1 is the bank, $2 the instant. */

/** Of a memory `m`: it was there, believed, and said what it says. memories_edited and memories_invalidated tell few. */
export const memoryStood = `m.created_at <= $2::timestamptz and (m.edited_at is null or m.edited_at <= $2)
  and (m.invalidated_at is null or m.invalidated_at > $2)
  and m.id not in (select i.memory_id from engram.memories_invalid_then($1, $2) as i)`;

/** Observations `o` of the bank, all of them, as they stood: `s`. `was` tells those that were changed since. */
export const observationsStood = `engram.observations o left join was on was.id = o.id
  cross join lateral (
    select case when was.id is null then o.created_at <= $2 and o.updated_at <= $2 else was.stood end as is_there,
      case when was.id is null then o.text else was.text end as text,
      case when was.id is null then o.version else was.version end as version,
      case when was.id is null then o.valid_from else was.valid_from end as valid_from,
      case when was.id is null then o.valid_to else was.valid_to end as valid_to,
      case when was.id is null then o.occurred_start else was.occurred_start end as occurred_start,
      case when was.id is null then o.occurred_end else was.occurred_end end as occurred_end,
      case when was.id is null then o.superseded_by else was.superseded_by end as superseded_by,
      case when was.id is null then o.canonical_id else was.canonical_id end as canonical_id,
      case when was.id is null then o.retired_at else was.retired_at end as retired_at,
      case when was.id is null then o.needs_replan_at else was.needs_replan_at end as needs_replan_at) as r
  cross join lateral (
    select case when r.retired_at is not null then 'retired' when r.canonical_id is not null then 'folded'
      when r.superseded_by is not null then 'superseded' else 'live' end as state,
      -- A mark of later was not there yet. One that was put off says when it is tried again, and passes for later.
      r.needs_replan_at is null or r.needs_replan_at > $2 as is_shown) as s`;

export const wasThen = 'was as materialized (select * from engram.observations_then($1, $2::timestamptz))';

/** Links of the bank as they stood; few have moved. */
export const linksStood = `moved as materialized (select * from engram.links_then($1, $2::timestamptz)),
  linked as (
    select l.observation_id, l.memory_id from engram.observation_sources l
    where l.bank_id = $1 and not exists (
      select from moved where moved.observation_id = l.observation_id and moved.memory_id = l.memory_id)
    union all
    select observation_id, memory_id from moved where memory_version is not null)`;
