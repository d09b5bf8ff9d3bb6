-- Another embedding model: its vectors are made beside those in use and take their place all at once.

alter table engram.embedding_models
  -- Cosine from which two texts are worth a decision, as `calibrate` found it; null: the built-in figure.
  add column repeat_similarity real check (repeat_similarity between 0 and 1),
  add column calibrated_at timestamptz,
  -- Set while its vectors are being made to take over; at most one.
  add column switch_started_at timestamptz;
create unique index embedding_models_one_switch on engram.embedding_models ((true)) where switch_started_at is not null;

create table engram.next_embeddings (
  bank_id text not null references engram.banks (id) on delete cascade,
  target text not null check (target in ('memories', 'observations')),
  row_id uuid not null,
  model text not null references engram.embedding_models (id) on delete cascade,
  -- Of the text that was embedded: one that changed since is embedded again (law L6).
  content_hash bytea not null,
  embedding real[] not null,
  primary key (bank_id, target, row_id)
);
alter table engram.next_embeddings alter column embedding set storage external;
