-- Which memories matter, what happened when, and how to have all of it back (DESIGN §8, laws L16, L17, L20, L22).

-- One row a database. A restore puts other rows in the place of all there are: its epoch grows with each, and whoever
-- writes compares the one it started with (law L22).
create table engram.store (
  only_row boolean primary key default true check (only_row),
  -- Whose the backups are, where several databases share a directory. A restore brings that of its backup along.
  id uuid not null default gen_random_uuid(),
  epoch bigint not null default 1,
  restored_at timestamptz,
  -- The backup, by its id.
  restored_from uuid
);
insert into engram.store default values;

-- Called with the BEGIN of each writing transaction. It leaves a lock on the table until the end of it, which a restore
-- waits for; a plain read, since a row lock would make every transaction of the database write the one row.
create function engram.hold_store(expected bigint) returns void language plpgsql as $$
begin
  if (select epoch from engram.store) is distinct from expected then
    raise exception 'the store was replaced by a restore' using errcode = 'EN001';
  end if;
end $$;

-- Significance, 0 to 3. Due is what was not scored in the version it has; a job is a hint, as for consolidation.
alter table engram.memories
  add column significance smallint check (significance between 0 and 3),
  add column scored_version bigint,
  add column score_attempts integer not null default 0,
  add column score_next_at timestamptz not null default now(),
  -- Since when it waits in this store, its rests included: what was there before scores were waits from now on.
  add column score_due_at timestamptz not null default now(),
  -- Why it is not tried any more; `jobs retry` brings it back. The memory itself is not parked by it.
  add column score_parked text,
  add column pin text check (pin in ('manual', 'auto')),
  add column pinned_at timestamptz,
  -- A person took its pin away: no score pins this text again.
  add column unpinned_at timestamptz,
  add check ((pin is null) = (pinned_at is null));
create index memories_unscored on engram.memories (bank_id, score_next_at, created_at, id)
  where scored_version is distinct from version and score_parked is null and invalidated_at is null;
create index memories_score_parked on engram.memories (bank_id, created_at, id) where score_parked is not null;
create index memories_pinned on engram.memories (bank_id, created_at, id) where pin is not null;

create or replace function engram.memories_before_write() returns trigger language plpgsql as $$
declare
  text_changed boolean;
  content_changed boolean;
begin
  new.tags := engram.scope_of(new.tags);
  new.change_xid := pg_current_xact_id();
  if tg_op = 'INSERT' then
    return new;
  end if;
  -- Whatever else knows the row knows it by these; the old vector would stay in every cached matrix.
  if new.bank_id <> old.bank_id or new.id <> old.id then
    raise exception 'memory % of bank % cannot change its id or bank', old.id, old.bank_id;
  end if;
  new.version := old.version;
  text_changed := new.text is distinct from old.text or new.context is distinct from old.context;
  content_changed := text_changed
    or new.tags is distinct from old.tags
    or new.occurred_start is distinct from old.occurred_start
    or new.occurred_end is distinct from old.occurred_end
    or new.mentioned_at is distinct from old.mentioned_at;
  if content_changed or new.invalidated_at is distinct from old.invalidated_at then
    new.version := old.version + 1;
  end if;
  if content_changed then
    new.state := 'pending';
    new.state_reason := null;
    new.attempts := 0;
    new.next_attempt_at := now();
    new.edited_at := now();
  elsif old.invalidated_at is not null and new.invalidated_at is null then
    -- Brought back: its observations were written again without it, so it is work once more.
    new.state := 'pending';
    new.state_reason := null;
    new.attempts := 0;
    new.next_attempt_at := now();
  end if;
  -- Text and vector never disagree (law L6): a new text without a new vector has none.
  if text_changed and new.embedding is not distinct from old.embedding then
    new.embedding := null;
    new.embedding_model := null;
  end if;
  -- To be scored in its new version, whatever came of the one before.
  if content_changed or (old.invalidated_at is not null and new.invalidated_at is null) then
    new.score_attempts := 0;
    new.score_next_at := now();
    new.score_parked := null;
    new.score_due_at := now();
  elsif old.score_parked is not null and new.score_parked is null then
    new.score_due_at := now();
  end if;
  -- What a person has said of a text does not hold for another, nor against what they say later.
  if text_changed or (new.pin = 'manual' and old.pin is distinct from 'manual') then
    new.unpinned_at := null;
  end if;
  -- What a person pinned is theirs (law L17), also under a hand-written UPDATE.
  if old.pin = 'manual' and new.pin = 'auto' then
    new.pin := 'manual';
    new.pinned_at := old.pinned_at;
  end if;
  -- Not to be believed, so it holds no place. Brought back, it is scored again.
  if new.invalidated_at is not null and old.invalidated_at is null and new.pin = 'auto' then
    new.pin := null;
    new.pinned_at := null;
  end if;
  return new;
end $$;

alter table engram.model_calls drop constraint model_calls_purpose_check;
alter table engram.model_calls add constraint model_calls_purpose_check
  check (purpose in ('consolidate', 'adjudicate', 'rewrite', 'embed', 'check', 'significance'));
-- Answers that were paid for and not written: asked for by the memories that they are about.
create index model_calls_scores on engram.model_calls (bank_id, request_hash) where purpose = 'significance';

-- Ids are given before the commit: who reads on from an id misses what commits late. Read on by (change_xid, id), up to
-- the oldest transaction that is under way.
alter table engram.events add column change_xid xid8 not null default pg_current_xact_id();
create index events_changed on engram.events (bank_id, change_xid, id);
-- Where the ids of transactions in a place on a timeline mean what they meant: a restore brings events in anew, and a copy
-- of the store in another database counts for itself.
create function engram.timeline_store() returns text language sql stable as $$
  select concat_ws('.', s.id, s.epoch, d.oid, (extract(epoch from s.restored_at) * 1000000)::bigint)
  from engram.store s cross join pg_database d where d.datname = current_database()
$$;
-- Words of a memory in its events: what was named in it, and reasons, which may repeat what it says. They go with it.
create index events_words on engram.events (bank_id, memory_id) where detail ?| array['entities', 'reason'];
-- What a night came to, for its digest.
create index events_significance on engram.events (bank_id, at)
  where kind in ('memory.scored', 'memory.pinned', 'memory.unpinned', 'memory.evicted');

-- What an import brings has its events with it.
create or replace function engram.memories_after_insert() returns trigger language plpgsql as $$
begin
  if current_setting('engram.writer', true) = 'import' then
    return null;
  end if;
  insert into engram.events (bank_id, kind, memory_id)
    select bank_id, 'memory.added', id from inserted order by id;
  -- The daemon announces its own work; a row from psql has to wake it.
  if coalesce(current_setting('engram.writer', true), '') = '' then
    perform pg_notify('engramd_work', bank_id) from (select distinct bank_id from inserted) as banks;
  end if;
  return null;
end $$;

-- What a statement changed is gathered first, without a join: a plan lives as long as its session, and one that was made
-- for a row would compare each of 100,000 with each.
create or replace function engram.memories_after_update() returns trigger language plpgsql as $$
declare
  banks text[];
  ids uuid[];
  versions bigint[];
  kinds text[];
  lost_pins boolean[];
begin
  select array_agg(c.bank_id), array_agg(c.id), array_agg(c.version), array_agg(c.lost_pin),
    array_agg(case
      when c.is_invalid and not c.was_invalid then 'memory.invalidated'
      when c.was_invalid and not c.is_invalid then 'memory.restored'
      else 'memory.edited'
    end)
  into banks, ids, versions, lost_pins, kinds
  from (
    select r.bank_id, r.id, max(r.version) as version,
      bool_or(r.is_invalid) filter (where r.is_new) as is_invalid,
      bool_or(r.is_invalid) filter (where not r.is_new) as was_invalid,
      -- An invalidation takes it (memories_before_write). Whoever else does changes no version and tells of it.
      bool_or(r.pin = 'auto') filter (where not r.is_new) and bool_and(r.pin is null and r.is_invalid) filter (where r.is_new)
        as lost_pin
    from (
      select bank_id, id, version, invalidated_at is not null as is_invalid, pin, false as is_new from before_rows
      union all
      select bank_id, id, version, invalidated_at is not null, pin, true from after_rows) as r
    group by r.bank_id, r.id
    having min(r.version) <> max(r.version)) as c;
  -- Most updates (a vector stored, a state moved) change no content; they end here.
  if ids is null then
    return null;
  end if;
  insert into engram.events (bank_id, kind, memory_id, detail)
    select c.bank_id, told.kind, c.id, told.detail
    from unnest(banks, ids, versions, kinds, lost_pins) as c(bank_id, id, version, kind, lost_pin)
    cross join lateral (values
      (1, c.kind, jsonb_build_object('version', c.version)),
      (2, 'memory.unpinned', jsonb_build_object('pin', 'auto'))) as told(n, kind, detail)
    where told.n = 1 or c.lost_pin
    order by c.id, told.n;
  perform engram.replan_citing(banks, ids);
  if coalesce(current_setting('engram.writer', true), '') = '' then
    perform pg_notify('engramd_work', bank_id) from (select distinct unnest(banks) as bank_id) as changed;
  end if;
  return null;
end $$;

-- For a function that looks up as many rows, is planned at each call and sets enable_nestloop for itself: few are found by
-- an index, many by going once over all there are, whatever a planner believes that has no statistics yet.
create function engram.plan_for(row_count integer) returns void language sql as $$
  select set_config('enable_nestloop', case when row_count > 100 then 'off' else 'on' end, true)
$$;

-- Everything that cites these memories rests on a text that is no longer there.
create function engram.replan_citing(banks text[], ids uuid[]) returns void language plpgsql
  set plan_cache_mode = force_custom_plan set enable_nestloop = on as $$
begin
  perform engram.plan_for(cardinality(ids));
  perform 1 from engram.observations o
    where (o.bank_id, o.id) in (
      select s.bank_id, s.observation_id from engram.observation_sources s
      join unnest(banks, ids) as m(bank_id, id) on m.bank_id = s.bank_id and m.id = s.memory_id)
    order by o.bank_id, o.id for no key update of o;
  update engram.observations o set needs_replan_at = least(o.needs_replan_at, now())
    where (o.bank_id, o.id) in (
      select s.bank_id, s.observation_id from engram.observation_sources s
      join unnest(banks, ids) as m(bank_id, id) on m.bank_id = s.bank_id and m.id = s.memory_id);
end $$;

create or replace function engram.memories_after_delete() returns trigger language plpgsql
  set plan_cache_mode = force_custom_plan set enable_nestloop = on as $$
declare
  gone_banks text[];
  gone_ids uuid[];
  -- Of banks that are still there.
  banks text[];
  ids uuid[];
begin
  insert into engram.vector_tombstones (bank_id, target, row_id) select bank_id, 'memories', id from deleted;
  select array_agg(bank_id), array_agg(id) into gone_banks, gone_ids from deleted;
  perform engram.plan_for(cardinality(gone_ids));
  -- With its bank gone everything else is going too, and nobody is left to be told.
  select array_agg(d.bank_id), array_agg(d.id) into banks, ids
    from unnest(gone_banks, gone_ids) as d(bank_id, id) join engram.banks b on b.id = d.bank_id;
  insert into engram.events (bank_id, kind, memory_id)
    select d.bank_id, 'memory.deleted', d.id from unnest(banks, ids) as d(bank_id, id) order by d.id;
  -- Index events_words. Of a bank that goes, banks_after_delete does it at once.
  update engram.events e set detail = e.detail - 'entities' - 'reason' from unnest(banks, ids) as d(bank_id, id)
    where e.bank_id = d.bank_id and e.memory_id = d.id and e.detail ?| array['entities', 'reason'];
  perform engram.replan_citing(banks, ids);
  delete from engram.observation_sources s using unnest(gone_banks, gone_ids) as d(bank_id, id)
    where s.bank_id = d.bank_id and s.memory_id = d.id;
  if coalesce(current_setting('engram.writer', true), '') = '' then
    perform pg_notify('engramd_work', bank_id) from (select distinct unnest(gone_banks) as bank_id) as changed;
  end if;
  return null;
end $$;

-- The timeline of a bank that is gone tells ids and kinds. After the cascades, whose triggers come first by name: they wait
-- for whoever was still writing an event of a memory.
create function engram.banks_after_delete() returns trigger language plpgsql
  set plan_cache_mode = force_custom_plan as $$
begin
  -- Index events_words.
  update engram.events e set detail = e.detail - 'entities' - 'reason'
    where e.bank_id = old.id and e.detail ?| array['entities', 'reason'];
  return null;
end $$;

create trigger banks_after_delete after delete on engram.banks
  for each row execute function engram.banks_after_delete();

-- Backups that were tried, of every host. The files and their manifests are the truth of what can be restored.
create table engram.backups (
  id uuid primary key,
  instance_id uuid not null,
  host text not null,
  -- Name of its folder in that host's backup directory; null where it came to none.
  folder text,
  trigger text not null check (trigger in ('due', 'asked')),
  -- unchanged: nothing to take since the last one, which is as good as a new one.
  status text not null check (status in ('running', 'written', 'verified', 'unchanged', 'failed', 'pruned')),
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  verified_at timestamptz,
  -- pg_snapshot_xmin() of what it holds: nothing has changed where nothing stands at or behind it.
  seen_xid xid8,
  rows bigint,
  -- Of the files.
  bytes bigint,
  error_code text,
  error text
);
create index backups_started on engram.backups (started_at);

-- The state of a bank at a change. Ids and versions and no texts: versions only grow (law L22), so they tell what differs,
-- and the history has the words.
create table engram.snapshots (
  bank_id text not null references engram.banks (id) on delete cascade,
  id uuid not null,
  made_at timestamptz not null default clock_timestamp(),
  trigger text not null check (trigger in ('changes', 'time', 'asked')),
  -- The last applied op in it (engram.change_ops.applied_no); 0 where there was none.
  applied_no bigint not null,
  -- Whatever a transaction from here on has written may not be in it.
  seen_xid xid8 not null default pg_snapshot_xmin(pg_current_snapshot()),
  -- Which of them is the later one: a clock may be set back, and what was seen is the same for as long as somebody else
  -- on the server is at work.
  made_xid xid8 not null default pg_current_xact_id(),
  counts jsonb not null default '{}',
  primary key (bank_id, id)
);
create index snapshots_made on engram.snapshots (bank_id, made_at, id);

create table engram.snapshot_rows (
  bank_id text not null,
  snapshot_id uuid not null,
  target text not null check (target in ('memories', 'observations')),
  row_id uuid not null,
  version bigint not null,
  -- Of a memory its state, or `invalidated`; of an observation `live`, `superseded`, `folded` or `retired`.
  state text not null,
  pin text,
  primary key (bank_id, snapshot_id, target, row_id),
  foreign key (bank_id, snapshot_id) references engram.snapshots (bank_id, id) on delete cascade
);
create index snapshot_rows_row on engram.snapshot_rows (bank_id, target, row_id);

-- What a snapshot counts from.
create index change_ops_applied on engram.change_ops (bank_id, applied_no) where status = 'applied';

-- A snapshot and a deletion in one bank wait for each other: otherwise one that is being taken would keep what goes
-- meanwhile, unseen by the other. By bank, so that each id is the same for every process.
create function engram.snapshot_lock(bank text) returns bigint language sql immutable parallel safe
  return hashtextextended('engram.snapshots/' || bank, 0);

-- What is gone is gone from snapshots too, whoever deletes it; what stands in the rows after it waits for no snapshot.
create function engram.leave_snapshots() returns trigger language plpgsql
  set plan_cache_mode = force_custom_plan set enable_nestloop = on as $$
declare
  banks text[];
  ids uuid[];
begin
  select array_agg(bank_id), array_agg(id) into banks, ids from deleted;
  perform engram.plan_for(cardinality(ids));
  perform pg_advisory_xact_lock_shared(lock) from (
    select distinct engram.snapshot_lock(bank_id) as lock from unnest(banks) as bank_id order by 1) as locks;
  delete from engram.snapshot_rows r using unnest(banks, ids) as d(bank_id, id)
    where r.bank_id = d.bank_id and r.target = tg_table_name and r.row_id = d.id;
  return null;
end $$;
create trigger memories_leave_snapshots after delete on engram.memories
  referencing old table as deleted for each statement execute function engram.leave_snapshots();
create trigger observations_leave_snapshots after delete on engram.observations
  referencing old table as deleted for each statement execute function engram.leave_snapshots();

-- When an op took effect, by the server's clock and under the locks of its rows: the start of its transaction would not
-- order two that waited for each other. A statement's time, so that no instant lies between the ops of one set.
alter table engram.change_ops add column applied_at timestamptz;
update engram.change_ops o set applied_at = coalesce(s.decided_at, s.created_at)
  from engram.change_sets s where s.bank_id = o.bank_id and s.id = o.change_set_id;
alter table engram.change_ops
  alter column applied_at set default statement_timestamp(),
  alter column applied_at set not null;
create index change_ops_applied_at on engram.change_ops (bank_id, applied_at) where status in ('applied', 'undone');
-- What happened to memories since an instant: few of many events, and few of many memories.
create index events_of_memories on engram.events (bank_id, at)
  where kind in ('memory.invalidated', 'memory.restored');
create index memories_edited on engram.memories (bank_id, edited_at) where edited_at is not null;
create index memories_invalidated on engram.memories (bank_id, invalidated_at) where invalidated_at is not null;

-- Memories that were not to be believed at an instant although their row says otherwise: brought back since, or, by hand,
-- invalidated once more.
create function engram.memories_invalid_then(bank text, instant timestamptz) returns table (memory_id uuid)
language sql stable as $$
  with first as materialized (
    select distinct on (e.memory_id) e.memory_id, e.kind from engram.events e
    where e.bank_id = bank and e.at > instant and e.kind in ('memory.invalidated', 'memory.restored')
    order by e.memory_id, e.id)
  select f.memory_id from first f where f.kind = 'memory.restored' and f.memory_id is not null
  union all
  select m.id from engram.memories m
  where m.bank_id = bank and m.invalidated_at > instant
    and not exists (select from first f where f.memory_id = m.id and f.kind = 'memory.invalidated')
$$;

-- Observations that were changed after an instant, as they stood at it: as the first op since then found them. Of one that
-- was made since, and of one whose words from then were erased, `stood` is false. Scopes never change. Where the text has
-- changed, the vector of the old one is before_embedding of the op named beside it, if one has it.
create function engram.observations_then(bank text, instant timestamptz) returns table (
  id uuid, stood boolean, text text, version bigint, valid_from timestamptz, valid_to timestamptz,
  occurred_start timestamptz, occurred_end timestamptz, superseded_by uuid, canonical_id uuid, retired_at timestamptz,
  needs_replan_at timestamptz, vector_set_id uuid, vector_seq integer
) language sql stable as $$
  with since as materialized (
    select o.change_set_id, o.seq, o.applied_no, o.target_id, o.before, o.after, o.erased_at,
      o.before_embedding is not null as has_vector
    from engram.change_ops o
    where o.bank_id = bank and o.status in ('applied', 'undone') and o.applied_at > instant),
  found as (
    select distinct on (f.id) f.id, f.image, f.erased_at
    from (
      select (s.before #>> '{target,id}')::uuid as id, s.before -> 'target' as image, s.applied_no, s.erased_at from since s
      union all
      select (r.image ->> 'id')::uuid, r.image, s.applied_no, s.erased_at
      from since s cross join lateral jsonb_array_elements(s.before -> 'repointed') as r(image)
      union all
      select (s.after #>> '{created,id}')::uuid, null, s.applied_no, null from since s
      union all
      -- What was written without a record of what was there: by an erasure.
      select s.target_id, null, s.applied_no, null from since s where s.before is null) as f
    where f.id is not null
    order by f.id, f.applied_no),
  vectors as (
    select distinct on (s.target_id) s.target_id, s.change_set_id, s.seq from since s
    where s.has_vector order by s.target_id, s.applied_no)
  select f.id, f.image is not null and (f.erased_at is null or f.image ->> 'text' <> '[erased]'), i.text, i.version, i."validFrom", i."validTo",
    i."occurredStart", i."occurredEnd", i."supersededBy", i."canonicalId", i."retiredAt", i."needsReplanAt",
    v.change_set_id, v.seq
  from found f
  left join lateral jsonb_to_record(f.image) as i(text text, version bigint, "validFrom" timestamptz, "validTo" timestamptz,
    "occurredStart" timestamptz, "occurredEnd" timestamptz, "supersededBy" uuid, "canonicalId" uuid,
    "retiredAt" timestamptz, "needsReplanAt" timestamptz) on true
  left join vectors v on v.target_id = f.id
$$;

-- Links that were moved after an instant, as they were at it; `memory_version` null: there was none.
create function engram.links_then(bank text, instant timestamptz) returns table (
  observation_id uuid, memory_id uuid, memory_version bigint
) language sql stable as $$
  select distinct on (l.observation_id, l.memory_id) l.observation_id, l.memory_id, l.memory_version
  from engram.change_ops o
  cross join lateral (
    select (b ->> 'observationId')::uuid as observation_id, (b ->> 'memoryId')::uuid as memory_id,
      (b ->> 'memoryVersion')::bigint as memory_version
    from jsonb_array_elements(o.before -> 'links') as b
    union all
    select (a ->> 'observationId')::uuid, (a ->> 'memoryId')::uuid, null from jsonb_array_elements(o.after -> 'links') as a
  ) as l
  where o.bank_id = bank and o.status in ('applied', 'undone') and o.applied_at > instant
  order by l.observation_id, l.memory_id, o.applied_no, l.memory_version nulls last
$$;

-- Conflicts that were made, settled or taken away after an instant, as they were at it; not there where `image` is null.
create function engram.conflicts_then(bank text, instant timestamptz) returns table (id uuid, image jsonb)
language sql stable as $$
  select distinct on (c.id) c.id, c.image
  from engram.change_ops o
  cross join lateral (
    select (b ->> 'id')::uuid as id, b as image from jsonb_array_elements(o.before -> 'conflicts') as b
    union all
    select (a ->> 'id')::uuid, null from jsonb_array_elements(o.after -> 'conflicts') as a
  ) as c
  where o.bank_id = bank and o.status in ('applied', 'undone') and o.applied_at > instant
  order by c.id, o.applied_no, c.image nulls last
$$;

-- What was forgotten and came back with a restore or an import: erased again before anybody is answered. No foreign key:
-- it may name what did not come back.
create table engram.erasures_due (
  bank_id text not null,
  memory_id uuid not null,
  erased_at timestamptz not null,
  primary key (bank_id, memory_id)
);
create index erasures_erased on engram.erasures (erased_at);

-- What a bank is for changes what is made of its memories. Only plain SQL changes it; the words stay in their row.
create function engram.banks_after_mission() returns trigger language plpgsql as $$
begin
  insert into engram.events (bank_id, kind) values (new.id, 'bank.mission_changed');
  return null;
end $$;

create trigger banks_after_mission after update of mission on engram.banks
  for each row when (new.mission is distinct from old.mission) execute function engram.banks_after_mission();
