-- Which memories matter, what happened when, and how to have all of it back (DESIGN §8, laws L16, L17, L20, L22).

-- One row a database. A restore puts other rows in the place of all there are: its epoch grows with each, and whoever
-- writes compares the one it started with (law L22).
create table engram.store (
  only_row boolean primary key default true check (only_row),
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
  -- Why it is not tried any more; `jobs retry` brings it back. The memory itself is not parked by it.
  add column score_parked text,
  add column pin text check (pin in ('manual', 'auto')),
  add column pinned_at timestamptz,
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
    new.score_attempts := 0;
    new.score_next_at := now();
    new.score_parked := null;
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
  -- What a person pinned is theirs (law L17), also under a hand-written UPDATE.
  if old.pin = 'manual' and new.pin = 'auto' then
    new.pin := 'manual';
    new.pinned_at := old.pinned_at;
  end if;
  return new;
end $$;

alter table engram.model_calls drop constraint model_calls_purpose_check;
alter table engram.model_calls add constraint model_calls_purpose_check
  check (purpose in ('consolidate', 'adjudicate', 'rewrite', 'embed', 'check', 'significance'));

-- Ids are given before the commit: who reads on from an id misses what commits late. Read on by (change_xid, id), up to
-- the oldest transaction that is under way.
alter table engram.events add column change_xid xid8 not null default pg_current_xact_id();
create index events_changed on engram.events (bank_id, change_xid, id);

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
  -- Of a memory its state, of an observation `live`, `superseded`, `folded` or `retired`.
  state text not null,
  pin text,
  primary key (bank_id, snapshot_id, target, row_id),
  foreign key (bank_id, snapshot_id) references engram.snapshots (bank_id, id) on delete cascade
);
create index snapshot_rows_row on engram.snapshot_rows (bank_id, target, row_id);

-- What a snapshot counts from.
create index change_ops_applied on engram.change_ops (bank_id, applied_no) where status = 'applied';

-- What was forgotten and came back with a restore or an import: erased again before anybody is answered. No foreign key:
-- it may name what did not come back.
create table engram.erasures_due (
  bank_id text not null,
  memory_id uuid not null,
  erased_at timestamptz not null,
  primary key (bank_id, memory_id)
);
create index erasures_erased on engram.erasures (erased_at);
