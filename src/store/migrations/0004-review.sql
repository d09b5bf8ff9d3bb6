-- Change sets that wait for a person, and that were taken back.

alter table engram.change_sets
  -- Only what consolidation retires counts as loss (law L18); an undo or a person's decision does not.
  add column kind text not null default 'consolidation' check (kind in ('consolidation', 'undo', 'curation', 'contradictions')),
  -- The set that this one took back.
  add column undoes uuid,
  add column decided_at timestamptz,
  -- All memories and observations that whoever decided had read: reasons may quote what no op names.
  add column shown_ids uuid[] not null default '{}';

create index change_sets_undoes on engram.change_sets (bank_id, undoes) where undoes is not null;
create index change_sets_shown on engram.change_sets using gin (shown_ids);
create index change_sets_run on engram.change_sets (bank_id, run_id);

alter table engram.change_ops drop constraint change_ops_status_check;
alter table engram.change_ops
  add constraint change_ops_status_check check (status in ('applied', 'rejected', 'proposed', 'conflicted', 'undone')),
  -- Ops of one group stand or fall together (law L2), also when a person decides.
  add column group_no integer not null default 1,
  -- Of a proposed op: all that is needed to apply it later (consolidation/stored-plan.ts); its vector is after_embedding.
  add column plan jsonb,
  -- Its texts were erased; it cannot be undone any more.
  add column erased_at timestamptz,
  -- In which order ops that share a row took effect: given under the locks of those rows, and anew where a proposal is
  -- applied. Neither created_at nor an id tells, being made before the locks are.
  add column applied_no bigint generated always as identity,
  -- Every observation whose row or links the op changed or leaned on: what later stands on it is found by these.
  add column observation_ids uuid[] not null default '{}';
update engram.change_ops o set observation_ids = array(
  select id from unnest(array[o.target_id, o.result_id]) as t(id) where id is not null
  union
  select (found #>> '{}')::uuid from unnest(array[o.before, o.after]) as image, unnest(array[
    '$.created.id', '$.repointed[*].id', '$.links[*].observationId']::jsonpath[]) as path, jsonb_path_query(image, path) as found
  where found <> 'null');
create index change_ops_observations on engram.change_ops using gin (observation_ids);

-- What waited before ops kept their plans cannot be applied: it is decided anew, and proposed again where it has to be.
update engram.change_ops set status = 'conflicted' where status = 'proposed';
update engram.change_sets set status = 'conflicted', decided_at = now() where status = 'proposed';
update engram.memories set state = 'pending', state_reason = null, attempts = 0, next_attempt_at = now()
where state = 'proposed';

-- What was refused, or made beside something that differed, quotes values of texts that nothing here names: no erasure
-- would find it.
update engram.change_ops set reason = '', verdicts = (
  select coalesce(jsonb_agg(jsonb_set(v, '{reason}', '""')), '[]') from jsonb_array_elements(verdicts) as v)
where status = 'rejected' or op = 'create' and target_id is null and reason <> 'nothing held says this';

-- Versions of memory_ids, in their order, as the op saw them: undo leaves alone what was edited since. From here on
-- source_ids are those among memory_ids that the op only cites; it takes the others out of `pending`.
alter table engram.change_ops add column memory_versions bigint[] not null default '{}';

alter table engram.conflicts
  add column resolution text check (resolution in ('left', 'right', 'both')),
  add column change_set_id uuid;

-- What was erased on request, without what it said.
create table engram.erasures (
  bank_id text not null,
  memory_id uuid not null,
  observation_ids uuid[] not null default '{}',
  erased_at timestamptz not null default now(),
  primary key (bank_id, memory_id)
);

-- How far the search for contradictions has come in a bank: rows that changed before this transaction have been looked
-- at, and of those that it changed, the ones up to this id. A change of models writes all rows in one transaction.
create table engram.contradiction_marks (
  bank_id text primary key references engram.banks (id) on delete cascade,
  seen_xid xid8 not null,
  seen_id uuid not null default '00000000-0000-0000-0000-000000000000',
  updated_at timestamptz not null default now()
);

-- With the id: pages through one transaction that wrote 100,000 rows would sort what is left of them each time.
drop index engram.observations_changed;
create index observations_changed on engram.observations (bank_id, change_xid, id);

-- What a person resolved is settled for the texts that stood then, and no others. Both are times of the server's clock
-- while it held the locks of the observations: the start of a transaction, or another machine's clock, would not order them.
alter table engram.observations add column text_changed_at timestamptz;
alter table engram.conflicts add column settled_at timestamptz;

create or replace function engram.observations_before_write() returns trigger language plpgsql as $$
begin
  new.change_xid := pg_current_xact_id();
  -- A version only grows (law L22), also under a hand-written UPDATE.
  if tg_op = 'UPDATE' and new.version < old.version then
    raise exception 'observation % cannot go back from version % to %', old.id, old.version, new.version;
  end if;
  if tg_op = 'UPDATE' and new.text is distinct from old.text then
    new.text_changed_at := clock_timestamp();
  end if;
  return new;
end $$;
