-- The life of the daemon: one row of truth for its state, who leads, the sleep cycles and what is built once a database
-- (DESIGN §7, laws L12 to L15).

-- One row a database. Whoever moves it compares `version`; whoever leads compares the fence of engram.leader as well.
create table engram.lifecycle (
  only_row boolean primary key default true check (only_row),
  state text not null default 'wake' check (state in ('wake', 'drowsy', 'sleep', 'hibernation')),
  since timestamptz not null default now(),
  reason text not null default 'first_start',
  version bigint not null default 0,
  -- What has never had a clean sleep cycle is counted from there.
  born_at timestamptz not null default now(),
  -- Against oscillation: nothing moves towards sleep right after this.
  woken_at timestamptz not null default now(),
  -- A forced sleep that has not reached SLEEP yet; it stays until that is reached or somebody wakes the daemon (law L14).
  sleep_forced_at timestamptz,
  -- When a force reached the SLEEP at hand, or that before the HIBERNATION at hand: a cycle that has ended since is its
  -- own. Null: nobody forced it.
  honoured_force_at timestamptz,
  -- No end: until `resume`.
  paused_at timestamptz,
  paused_until timestamptz,
  -- Ticks are numbered, so that none runs twice whoever leads.
  tick bigint not null default 0,
  ticked_at timestamptz,
  -- Why the last tick came to nothing; the next good one clears it (law L13).
  tick_skipped text
);
insert into engram.lifecycle default values;

-- A lease by the database's clock. A session lock would break under a transaction-mode pooler. `fence` grows with each
-- new leader, and every write of a leader compares it: one that was paused past its lease cannot write any more.
create table engram.leader (
  only_row boolean primary key default true check (only_row),
  instance_id uuid references engram.instances (id),
  fence bigint not null default 0,
  acquired_at timestamptz,
  expires_at timestamptz
);
insert into engram.leader default values;

-- What the leader decides by, of every instance; a parked one says nothing, and is no less alive.
alter table engram.instances
  add column last_activity_at timestamptz,
  add column requests_in_flight integer not null default 0,
  add column parked_at timestamptz;
-- There is a row for each start. `seen_at` is in no index, so that a beat stays cheap.
create index instances_open on engram.instances (started_at) where stopped_at is null;
create index instances_activity on engram.instances (last_activity_at) where last_activity_at is not null;

-- Instances that nothing on record names are deleted; the foreign keys look here for each of them.
create index runs_instance on engram.runs (instance_id);
create index attempts_instance on engram.attempts (instance_id);

-- Each transition with its reason. Not in engram.events: that is the timeline of a bank.
create table engram.lifecycle_events (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  instance_id uuid,
  from_state text not null,
  to_state text not null,
  reason text not null,
  detail jsonb not null default '{}'
);
create index lifecycle_events_at on engram.lifecycle_events (at);

create table engram.sleep_cycles (
  id uuid primary key,
  trigger text not null,
  is_forced boolean not null,
  -- Which force it was begun by, or began over for: that of engram.lifecycle.honoured_force_at.
  forced_at timestamptz,
  instance_id uuid not null references engram.instances (id),
  started_at timestamptz not null default now(),
  -- Grows while it is worked on: a cycle nobody goes on with is given up, not resumed days later.
  touched_at timestamptz not null default now(),
  finished_at timestamptz,
  -- clean: every step done. partial: the others are, one is in quarantine. failed: a step failed. abandoned: see touched_at.
  outcome text check (outcome in ('clean', 'partial', 'failed', 'abandoned')),
  check ((finished_at is null) = (outcome is null))
);
-- One cycle at a time, whatever else goes wrong.
create unique index sleep_cycles_open on engram.sleep_cycles ((true)) where finished_at is null;
create index sleep_cycles_finished on engram.sleep_cycles (outcome, finished_at);

create table engram.sleep_steps (
  cycle_id uuid not null references engram.sleep_cycles (id) on delete cascade,
  name text not null,
  position integer not null,
  status text not null default 'pending' check (status in ('pending', 'running', 'done', 'failed', 'quarantined')),
  -- How often it was begun in this cycle.
  runs integer not null default 0,
  started_at timestamptz,
  finished_at timestamptz,
  -- What the step needs to go on from where it was.
  checkpoint jsonb,
  done bigint,
  total bigint,
  note text,
  error text,
  primary key (cycle_id, name)
);

-- Failures of a step over cycles, deaths in the middle of it among them: counted before it begins, cleared by its end.
create table engram.step_failures (
  step text primary key,
  failures integer not null,
  -- Begun and not ended. True where nobody is at it: whoever was has died of it.
  is_running boolean not null default false,
  -- Left alone until then; forced runs do not care.
  quarantined_until timestamptz,
  error text,
  updated_at timestamptz not null default now()
);

-- What a night's digest is about. Its text is rendered from the change sets of that time as they stand, so that what is
-- forgotten is gone from it, and what is undone is told as such.
create table engram.digests (
  id uuid primary key,
  cycle_id uuid not null unique references engram.sleep_cycles (id),
  from_at timestamptz not null,
  to_at timestamptz not null,
  made_at timestamptz not null default now(),
  counts jsonb not null default '{}'
);
create index digests_made on engram.digests (made_at);

-- What a digest tells of parked memories; one row in thousands of the timeline.
create index events_parked on engram.events (bank_id, at) where kind = 'memory.parked';

-- Folds that the search for duplicates decided on: nothing of a batch, and no loss.
alter table engram.change_sets drop constraint change_sets_kind_check;
alter table engram.change_sets add constraint change_sets_kind_check
  check (kind in ('consolidation', 'undo', 'curation', 'contradictions', 'sweep'));

-- How far the search for duplicates has come in a bank; as engram.contradiction_marks.
create table engram.sweep_marks (
  bank_id text primary key references engram.banks (id) on delete cascade,
  seen_xid xid8 not null,
  seen_id uuid not null default '00000000-0000-0000-0000-000000000000',
  updated_at timestamptz not null default now()
);

-- What is expensive to build and the same for every daemon: once a database (law L15). Ids and numbers only, no texts.
create table engram.shared_builds (
  bank_id text not null references engram.banks (id) on delete cascade,
  kind text not null,
  -- Of what it was built from: the model, and what is asked of it. Whether the bank is still of about that size is judged by
  -- `rows`: a size in the key would make a bank at the edge of one miss at each row that comes and goes.
  key text not null,
  fence bigint not null,
  built_at timestamptz not null default now(),
  -- Rows that it was built from, and the point in the order of changes up to which it knows them.
  rows integer not null,
  seen_xid xid8 not null,
  is_complete boolean not null,
  payload bytea not null,
  primary key (bank_id, kind, key)
);

-- Who builds. A lease, as engram.leader: a builder that dies has exactly one successor.
create table engram.build_leases (
  bank_id text not null references engram.banks (id) on delete cascade,
  kind text not null,
  key text not null,
  holder uuid not null,
  fence bigint not null,
  expires_at timestamptz not null,
  primary key (bank_id, kind, key)
);
