-- Calls of language and embedding models: what they cost, what they answered, and which endpoint is out of order.

-- One row a call, written before it is made (law L19). No foreign key to banks: what was spent stays spent when its bank
-- goes. No text of a memory stands in here.
create table engram.model_calls (
  id uuid primary key,
  -- The local day of the daemon that reserved; the ledger row that the money came from.
  day date not null,
  bank_id text,
  instance_id uuid not null,
  purpose text not null check (purpose in ('consolidate', 'adjudicate', 'rewrite', 'embed', 'check')),
  endpoint text not null,
  model text not null,
  request_hash bytea not null,
  -- Memories that the call was about. Halves of a batch, repeats and dry runs are about them once more.
  memories integer not null default 0,
  -- Memories that were decided by it, added once their decision stands: what cost per 1,000 memories is counted over.
  consolidated integer not null default 0,
  prompt_bytes integer not null,
  -- What the ledger row holds for this call: the reservation until it is settled, the real use afterwards. Money is in
  -- billionths of a dollar (0.05 USD per million tokens are 50 a token), 0 where the price is unknown.
  nano_usd bigint not null,
  tokens bigint not null,
  unpriced_tokens bigint not null,
  prompt_tokens integer,
  cached_tokens integer,
  output_tokens integer,
  started_at timestamptz not null default now(),
  settled_at timestamptz,
  latency_ms integer,
  -- `ok`, or the class of the provider's error; null while the call is under way, and for ever where its process died.
  outcome text
);
create index model_calls_day on engram.model_calls (day, purpose, model);
create index model_calls_bank on engram.model_calls (bank_id, day) where bank_id is not null;
create index model_calls_recent on engram.model_calls (endpoint, model, settled_at) where outcome = 'ok';
create index model_calls_request on engram.model_calls (bank_id, request_hash) where purpose = 'consolidate';
create index model_calls_settled on engram.model_calls (settled_at);

-- One row a local day: what is spent or reserved. A reservation is one conditional upsert of it, so that any number of
-- daemons together stay within the limit.
create table engram.budget_ledger (
  day date primary key,
  nano_usd bigint not null default 0,
  tokens bigint not null default 0,
  -- Tokens of models without a price, which have a limit of their own.
  unpriced_tokens bigint not null default 0,
  calls integer not null default 0
);

-- What a model answered, until its batch is applied and a week beyond: a crash between answer and apply pays once.
-- subject_ids are the memories and observations whose texts the request held, which is how forget finds it.
create table engram.model_answers (
  bank_id text not null references engram.banks (id) on delete cascade,
  request_hash bytea not null,
  answer jsonb not null,
  subject_ids uuid[] not null,
  created_at timestamptz not null default now(),
  primary key (bank_id, request_hash)
);
create index model_answers_created on engram.model_answers (created_at);
create index model_answers_subjects on engram.model_answers using gin (subject_ids);

-- Pairs that a model has judged: an unchanged pair is never judged twice.
create table engram.verdicts (
  bank_id text not null references engram.banks (id) on delete cascade,
  key bytea not null,
  verdict text not null,
  reason text not null default '',
  subject_ids uuid[] not null,
  created_at timestamptz not null default now(),
  used_at timestamptz not null default now(),
  primary key (bank_id, key)
);
create index verdicts_used on engram.verdicts (used_at);
create index verdicts_subjects on engram.verdicts using gin (subject_ids);

-- An endpoint and model that failed. No row: in order. Shared, so that one daemon's outage is not probed by four.
create table engram.model_breakers (
  endpoint text not null,
  model text not null,
  error_class text not null,
  -- One line for the log, status and doctor: what failed and what to change.
  message text not null,
  failures integer not null default 1,
  opened_at timestamptz not null default now(),
  reopens_at timestamptz not null,
  probe_id uuid,
  probe_until timestamptz,
  primary key (endpoint, model)
);

-- What an endpoint and model turned out to understand, so that it is found out once.
create table engram.model_abilities (
  endpoint text not null,
  model text not null,
  abilities jsonb not null,
  updated_at timestamptz not null default now(),
  primary key (endpoint, model)
);

-- With the request known, a batch whose answer is stored goes on from it after a crash; `shown` is what the aliases of
-- that request stood for, `decided_by` what asked it: a stored answer is never applied under another one's name.
alter table engram.attempts add column request_hash bytea, add column shown jsonb, add column decided_by text;
-- Asked at the start of every slice; nearly always empty.
create index attempts_answered on engram.attempts (bank_id, started_at)
  where request_hash is not null and outcome in ('crashed', 'handed_back', 'failed');

-- What decided a memory (decider, prompt, validators, model): `consolidate --again` leaves alone what it would decide alike.
alter table engram.memories add column decided_by text;
