-- Banks, memories, observations and their history. Every key carries bank_id: no statement can reach across banks
-- without naming the other one (law L21).

-- sha256() of the text is immutable in fact; convert_to() is declared stable only because conversions can be replaced.
create function engram.content_hash(content text) returns bytea
  language sql immutable strict parallel safe
  return sha256(convert_to(content, 'UTF8'));

-- A scope is a set: sorted by byte, each tag once, no NULL, so that equality of arrays is equality of scopes.
create function engram.scope_of(tags text[]) returns text[]
  language sql immutable parallel safe
  return (select coalesce(array_agg(distinct t collate "C" order by t collate "C"), '{}') from unnest(tags) as t where t is not null);

create table engram.banks (
  id text primary key check (id <> '' and length(id) <= 128),
  mission text not null default '',
  created_at timestamptz not null default now()
);

-- Which model the vectors of this database come from. The row with is_active is the pin.
create table engram.embedding_models (
  id text primary key,
  provider text not null,
  dimensions integer not null check (dimensions > 0),
  is_active boolean not null,
  pinned_at timestamptz not null default now()
);
create unique index embedding_models_one_active on engram.embedding_models (is_active) where is_active;

create table engram.instances (
  id uuid primary key,
  role text not null check (role in ('daemon', 'cli')),
  host text not null,
  pid integer not null,
  version text not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  stopped_at timestamptz,
  stop_reason text
);

create table engram.memories (
  bank_id text not null references engram.banks (id) on delete cascade,
  id uuid not null,
  text text not null check (text <> ''),
  context text,
  kind text not null default 'world' check (kind in ('world', 'experience')),
  tags text[] not null default '{}',
  metadata jsonb not null default '{}',
  dialogue jsonb,
  occurred_start timestamptz,
  occurred_end timestamptz,
  mentioned_at timestamptz,
  source_ref text,
  ingest_key text,
  content_hash bytea not null generated always as (engram.content_hash(text)) stored,
  embedding real[],
  embedding_model text references engram.embedding_models (id),
  version bigint not null default 1,
  state text not null default 'pending' check (state in ('pending', 'consolidated', 'proposed', 'held', 'parked')),
  state_reason text,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  edited_at timestamptz,
  invalidated_at timestamptz,
  change_xid xid8 not null default pg_current_xact_id(),
  tsv tsvector not null generated always as (to_tsvector('english'::regconfig, text || ' ' || coalesce(context, ''))) stored,
  primary key (bank_id, id),
  check ((embedding is null) = (embedding_model is null)),
  -- 'infinity' and years that no calendar of the daemon's language knows would make the row unreadable to it. A day of
  -- margin on both sides, since the same instant is another day elsewhere.
  check (occurred_start between '0001-01-02T00:00:00Z' and '9999-12-30T00:00:00Z'),
  check (occurred_end between '0001-01-02T00:00:00Z' and '9999-12-30T00:00:00Z'),
  check (mentioned_at between '0001-01-02T00:00:00Z' and '9999-12-30T00:00:00Z'),
  -- Tags are a key of scopes, and a key of a btree ends at 2,704 bytes.
  check (octet_length(array_to_string(tags, '')) <= 1600 and cardinality(tags) <= 32)
);
-- Re-ingest of the same text under the same reference is a no-op.
create unique index memories_source_ref on engram.memories (bank_id, source_ref, content_hash) where source_ref is not null;
-- The same Idempotency-Key is the same memory.
create unique index memories_ingest_key on engram.memories (bank_id, ingest_key) where ingest_key is not null;
-- The work queue: due rows of a bank, oldest first.
create index memories_pending on engram.memories (bank_id, created_at, id) where state = 'pending' and invalidated_at is null;
-- What the background embedder has not been at yet.
create index memories_unembedded on engram.memories (bank_id, created_at, id) where embedding is null and invalidated_at is null;
create index memories_changed on engram.memories (bank_id, change_xid);
create index memories_state on engram.memories (bank_id, state, created_at, id);
create index memories_tsv on engram.memories using gin (tsv);

create table engram.entities (
  bank_id text not null references engram.banks (id) on delete cascade,
  id uuid not null,
  name text not null check (name <> ''),
  primary key (bank_id, id)
);
create unique index entities_name on engram.entities (bank_id, lower(name));

create table engram.memory_entities (
  bank_id text not null,
  memory_id uuid not null,
  entity_id uuid not null,
  primary key (bank_id, memory_id, entity_id),
  foreign key (bank_id, memory_id) references engram.memories (bank_id, id) on delete cascade,
  foreign key (bank_id, entity_id) references engram.entities (bank_id, id) on delete cascade
);
create index memory_entities_entity on engram.memory_entities (bank_id, entity_id);

-- One row a scope; its epoch moves with every text written in the scope, and is what a create is guarded by (law L3).
create table engram.scopes (
  bank_id text not null references engram.banks (id) on delete cascade,
  tags text[] not null,
  epoch bigint not null default 0,
  primary key (bank_id, tags)
);

-- An observation is live while it is neither folded (canonical_id), superseded nor retired.
create table engram.observations (
  bank_id text not null references engram.banks (id) on delete cascade,
  id uuid not null,
  text text not null check (text <> ''),
  tags text[] not null,
  embedding real[] not null,
  embedding_model text not null references engram.embedding_models (id),
  version bigint not null default 1,
  scope_epoch bigint not null,
  valid_from timestamptz,
  valid_to timestamptz,
  occurred_start timestamptz,
  occurred_end timestamptz,
  superseded_by uuid,
  canonical_id uuid,
  retired_at timestamptz,
  trust smallint not null default 0,
  needs_replan_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  change_xid xid8 not null default pg_current_xact_id(),
  is_live boolean not null generated always as (superseded_by is null and canonical_id is null and retired_at is null) stored,
  content_hash bytea not null generated always as (engram.content_hash(text)) stored,
  tsv tsvector not null generated always as (to_tsvector('english'::regconfig, text)) stored,
  primary key (bank_id, id),
  check (canonical_id <> id),
  check (superseded_by <> id),
  foreign key (bank_id, superseded_by) references engram.observations (bank_id, id) deferrable initially deferred,
  foreign key (bank_id, canonical_id) references engram.observations (bank_id, id) deferrable initially deferred
);
create index observations_changed on engram.observations (bank_id, change_xid);
create index observations_scope on engram.observations (bank_id, tags, scope_epoch);
create index observations_needs_replan on engram.observations (bank_id, needs_replan_at, id) where needs_replan_at is not null;
create index observations_canonical on engram.observations (bank_id, canonical_id) where canonical_id is not null;
create index observations_superseded on engram.observations (bank_id, superseded_by) where superseded_by is not null;
create index observations_tsv on engram.observations using gin (tsv);

-- Which memory, in which version, an observation rests on. Evidence is counted from here and nowhere else.
create table engram.observation_sources (
  bank_id text not null,
  observation_id uuid not null,
  memory_id uuid not null,
  memory_version bigint not null,
  added_at timestamptz not null default now(),
  primary key (bank_id, observation_id, memory_id),
  foreign key (bank_id, observation_id) references engram.observations (bank_id, id) on delete cascade,
  -- No cascade: memories_after_delete takes the links away itself, after it has marked what they cite from.
  foreign key (bank_id, memory_id) references engram.memories (bank_id, id) deferrable initially deferred
);
create index observation_sources_memory on engram.observation_sources (bank_id, memory_id);

-- One consolidation slice, or one request that changed something.
create table engram.runs (
  bank_id text not null references engram.banks (id) on delete cascade,
  id uuid not null,
  trigger text not null,
  instance_id uuid not null references engram.instances (id),
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  outcome text,
  counts jsonb not null default '{}',
  primary key (bank_id, id)
);
create index runs_started on engram.runs (bank_id, started_at);

create table engram.change_sets (
  bank_id text not null references engram.banks (id) on delete cascade,
  id uuid not null,
  run_id uuid not null,
  decider text not null,
  status text not null check (status in ('proposed', 'applied', 'rejected', 'conflicted', 'undone')),
  reason text,
  created_at timestamptz not null default now(),
  primary key (bank_id, id),
  foreign key (bank_id, run_id) references engram.runs (bank_id, id) on delete cascade
);
create index change_sets_created on engram.change_sets (bank_id, created_at, id);
create index change_sets_proposed on engram.change_sets (bank_id, id) where status = 'proposed';

-- before and after hold the rows of the observations touched and the links moved (store/change-ops.ts); the vectors stand
-- apart, as array_send() bytes beside the name of their model, since JSON would round them.
create table engram.change_ops (
  bank_id text not null,
  change_set_id uuid not null,
  seq integer not null,
  op text not null check (op in ('create', 'revise', 'reinforce', 'supersede', 'fold', 'conflict', 'retire', 'skip')),
  status text not null check (status in ('applied', 'rejected', 'proposed')),
  target_id uuid,
  base_version bigint,
  result_id uuid,
  memory_ids uuid[] not null default '{}',
  source_ids uuid[] not null default '{}',
  before jsonb,
  after jsonb,
  before_embedding bytea,
  before_embedding_model text,
  after_embedding bytea,
  after_embedding_model text,
  reason text not null default '',
  verdicts jsonb not null default '[]',
  primary key (bank_id, change_set_id, seq),
  foreign key (bank_id, change_set_id) references engram.change_sets (bank_id, id) on delete cascade
);
create index change_ops_target on engram.change_ops (bank_id, target_id) where target_id is not null;
create index change_ops_result on engram.change_ops (bank_id, result_id) where result_id is not null;
create index change_ops_memories on engram.change_ops using gin (memory_ids);

create table engram.conflicts (
  bank_id text not null,
  id uuid not null,
  left_id uuid not null,
  right_id uuid not null check (left_id < right_id),
  status text not null default 'open' check (status in ('open', 'resolved')),
  reason text not null default '',
  created_at timestamptz not null default now(),
  resolved_at timestamptz,
  primary key (bank_id, id),
  foreign key (bank_id, left_id) references engram.observations (bank_id, id) on delete cascade,
  foreign key (bank_id, right_id) references engram.observations (bank_id, id) on delete cascade
);
create unique index conflicts_pair on engram.conflicts (bank_id, left_id, right_id) where status = 'open';
create index conflicts_right on engram.conflicts (bank_id, right_id) where status = 'open';

-- The timeline. Ids and kinds only: texts stay where forget can reach them. No foreign key: it outlives what it tells of.
create table engram.events (
  id bigint generated always as identity primary key,
  bank_id text not null,
  at timestamptz not null default now(),
  kind text not null,
  memory_id uuid,
  observation_id uuid,
  change_set_id uuid,
  detail jsonb not null default '{}'
);
create index events_bank on engram.events (bank_id, id);

-- Committed before each decision, finished with its apply. One without an end belongs to a worker that died (§6.1).
create table engram.attempts (
  bank_id text not null references engram.banks (id) on delete cascade,
  id uuid not null,
  run_id uuid not null,
  instance_id uuid not null references engram.instances (id),
  memory_ids uuid[] not null,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  outcome text check (outcome in ('applied', 'failed', 'handed_back', 'crashed')),
  primary key (bank_id, id),
  foreign key (bank_id, run_id) references engram.runs (bank_id, id) on delete cascade
);
create index attempts_unfinished on engram.attempts (bank_id, id) where finished_at is null;
create index attempts_memories on engram.attempts using gin (memory_ids);

-- Answers of writes that carried an Idempotency-Key.
create table engram.idempotency_keys (
  scope text not null,
  key text not null,
  request_hash bytea not null,
  status integer not null,
  response jsonb not null,
  created_at timestamptz not null default now(),
  primary key (scope, key)
);
create index idempotency_keys_created on engram.idempotency_keys (created_at);

-- A matrix cached in some process learns of a deleted row from here; see store/vectors.
create table engram.vector_tombstones (
  bank_id text not null,
  target text not null check (target in ('memories', 'observations')),
  row_id uuid not null,
  change_xid xid8 not null default pg_current_xact_id(),
  deleted_at timestamptz not null default now()
);
create index vector_tombstones_changed on engram.vector_tombstones (bank_id, target, change_xid);
create index vector_tombstones_deleted on engram.vector_tombstones (deleted_at);

-- Random floats do not compress: TOAST would try on each write and give up.
alter table engram.memories alter column embedding set storage external;
alter table engram.observations alter column embedding set storage external;
