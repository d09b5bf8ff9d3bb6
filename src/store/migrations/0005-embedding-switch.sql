-- Another embedding model: its vectors are made beside those in use and take their place all at once.

alter table engram.embedding_models
  -- Cosine from which two texts are worth a decision, as `calibrate` found it; null: the built-in figure.
  add column repeat_similarity double precision check (repeat_similarity between 0 and 1),
  add column calibrated_at timestamptz,
  -- Set while its vectors are being made to take over; at most one.
  add column switch_started_at timestamptz,
  -- The process that makes those vectors, for as long as it says so: two would pay twice for each text.
  add column switch_worker uuid,
  add column switch_worker_until timestamptz,
  -- Why no process is at it, as the last one that tried said it.
  add column switch_problem text;
create unique index embedding_models_one_switch on engram.embedding_models ((true)) where switch_started_at is not null;

create table engram.next_embeddings (
  bank_id text not null references engram.banks (id) on delete cascade,
  target text not null check (target in ('memories', 'observations')),
  row_id uuid not null,
  model text not null references engram.embedding_models (id) on delete cascade,
  -- Of the text that was embedded: one that changed since is embedded again (law L6).
  content_hash bytea not null,
  -- Null: the model cannot take this text. Its row keeps the vector it has, and is not tried again until it changes.
  embedding real[],
  -- The model too: what the active one cannot take and the vector of the next one stand side by side.
  primary key (bank_id, target, row_id, model)
);
alter table engram.next_embeddings alter column embedding set storage external;

-- Rows whose vectors come from a model that is no longer the active one: what an undo brought back, or what was written
-- while the models changed over. Both are ranges on either side of the active model, since <> has no index.
create index memories_by_model on engram.memories (bank_id, embedding_model)
  where embedding_model is not null and invalidated_at is null;
create index observations_by_model on engram.observations (bank_id, embedding_model)
  where retired_at is null;

-- What is erased leaves nothing of its text behind, the vectors of a model to come included.
create function engram.next_embeddings_forget() returns trigger language plpgsql as $$
begin
  delete from engram.next_embeddings n using deleted d
    where n.bank_id = d.bank_id and n.target = tg_argv[0] and n.row_id = d.id;
  return null;
end $$;

create trigger memories_forget_next after delete on engram.memories
  referencing old table as deleted
  for each statement execute function engram.next_embeddings_forget('memories');
create trigger observations_forget_next after delete on engram.observations
  referencing old table as deleted
  for each statement execute function engram.next_embeddings_forget('observations');

-- Whether anything in a bank is stale: what the background embedder of a bank is woken for.
create function engram.has_stale_embeddings(bank text) returns boolean language sql stable as $$
  select exists (
    select from engram.embedding_models a
    cross join lateral (
      (select 1 from engram.memories t
        where t.bank_id = bank and t.embedding_model < a.id and t.invalidated_at is null
          and not exists (select from engram.next_embeddings n where n.bank_id = bank and n.target = 'memories'
            and n.row_id = t.id and n.model = a.id and n.content_hash = t.content_hash)
        limit 1)
      union all
      (select 1 from engram.memories t
        where t.bank_id = bank and t.embedding_model > a.id and t.invalidated_at is null
          and not exists (select from engram.next_embeddings n where n.bank_id = bank and n.target = 'memories'
            and n.row_id = t.id and n.model = a.id and n.content_hash = t.content_hash)
        limit 1)
      union all
      (select 1 from engram.observations t
        where t.bank_id = bank and t.embedding_model < a.id and t.retired_at is null
          and not exists (select from engram.next_embeddings n where n.bank_id = bank and n.target = 'observations'
            and n.row_id = t.id and n.model = a.id and n.content_hash = t.content_hash)
        limit 1)
      union all
      (select 1 from engram.observations t
        where t.bank_id = bank and t.embedding_model > a.id and t.retired_at is null
          and not exists (select from engram.next_embeddings n where n.bank_id = bank and n.target = 'observations'
            and n.row_id = t.id and n.model = a.id and n.content_hash = t.content_hash)
        limit 1)
    ) as s
    where a.is_active)
$$;
