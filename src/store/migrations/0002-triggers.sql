-- What makes plain SQL on memories safe: versions, stale vectors, dependent observations, the timeline and the wake-up
-- call follow from the row itself, whoever writes it (DESIGN §4).

create function engram.memories_before_write() returns trigger language plpgsql as $$
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
  return new;
end $$;

create trigger memories_before_write before insert or update on engram.memories
  for each row execute function engram.memories_before_write();

create function engram.memories_after_insert() returns trigger language plpgsql as $$
begin
  insert into engram.events (bank_id, kind, memory_id)
    select bank_id, 'memory.added', id from inserted order by id;
  -- The daemon announces its own work; a row from psql has to wake it.
  if coalesce(current_setting('engram.writer', true), '') = '' then
    perform pg_notify('engramd_work', bank_id) from (select distinct bank_id from inserted) as banks;
  end if;
  return null;
end $$;

create trigger memories_after_insert after insert on engram.memories
  referencing new table as inserted
  for each statement execute function engram.memories_after_insert();

-- A statement at a time, so that all memories of a statement are locked before the first observation is (law L4).
create function engram.memories_after_update() returns trigger language plpgsql as $$
begin
  -- Most updates (a vector stored, a state moved) change no content; they end here.
  if not exists (
    select from before_rows b join after_rows a on a.bank_id = b.bank_id and a.id = b.id where a.version <> b.version
  ) then
    return null;
  end if;
  insert into engram.events (bank_id, kind, memory_id, detail)
    select a.bank_id,
      case
        when a.invalidated_at is not null and b.invalidated_at is null then 'memory.invalidated'
        when a.invalidated_at is null and b.invalidated_at is not null then 'memory.restored'
        else 'memory.edited'
      end,
      a.id, jsonb_build_object('version', a.version)
    from before_rows b join after_rows a on a.bank_id = b.bank_id and a.id = b.id
    where a.version <> b.version
    order by a.id;
  -- Everything that cites it rests on a text that is no longer there.
  perform 1 from engram.observations o
    where (o.bank_id, o.id) in (
      select s.bank_id, s.observation_id from engram.observation_sources s
      join after_rows a on a.bank_id = s.bank_id and a.id = s.memory_id
      join before_rows b on b.bank_id = a.bank_id and b.id = a.id
      where a.version <> b.version)
    order by o.bank_id, o.id for no key update of o;
  update engram.observations o set needs_replan_at = least(o.needs_replan_at, now())
    where (o.bank_id, o.id) in (
      select s.bank_id, s.observation_id from engram.observation_sources s
      join after_rows a on a.bank_id = s.bank_id and a.id = s.memory_id
      join before_rows b on b.bank_id = a.bank_id and b.id = a.id
      where a.version <> b.version);
  if coalesce(current_setting('engram.writer', true), '') = '' then
    perform pg_notify('engramd_work', bank_id) from (select distinct bank_id from after_rows) as banks;
  end if;
  return null;
end $$;

create trigger memories_after_update after update on engram.memories
  referencing old table as before_rows new table as after_rows
  for each statement execute function engram.memories_after_update();

-- A statement at a time, as for updates: all its memories are locked before the first observation is (law L4). The links
-- go from here and not by a cascade, which would run first and take away what tells whom to mark.
create function engram.memories_after_delete() returns trigger language plpgsql as $$
begin
  insert into engram.vector_tombstones (bank_id, target, row_id) select bank_id, 'memories', id from deleted;
  -- With its bank gone everything else is going too, and nobody is left to be told.
  insert into engram.events (bank_id, kind, memory_id)
    select d.bank_id, 'memory.deleted', d.id from deleted d join engram.banks b on b.id = d.bank_id order by d.id;
  perform 1 from engram.observations o
    where (o.bank_id, o.id) in (
      select s.bank_id, s.observation_id from engram.observation_sources s
      join deleted d on d.bank_id = s.bank_id and d.id = s.memory_id
      join engram.banks b on b.id = d.bank_id)
    order by o.bank_id, o.id for no key update of o;
  update engram.observations o set needs_replan_at = least(o.needs_replan_at, now())
    where (o.bank_id, o.id) in (
      select s.bank_id, s.observation_id from engram.observation_sources s
      join deleted d on d.bank_id = s.bank_id and d.id = s.memory_id
      join engram.banks b on b.id = d.bank_id);
  delete from engram.observation_sources s using deleted d where s.bank_id = d.bank_id and s.memory_id = d.id;
  if coalesce(current_setting('engram.writer', true), '') = '' then
    perform pg_notify('engramd_work', bank_id) from (select distinct bank_id from deleted) as banks;
  end if;
  return null;
end $$;

create trigger memories_after_delete after delete on engram.memories
  referencing old table as deleted
  for each statement execute function engram.memories_after_delete();

create function engram.observations_before_write() returns trigger language plpgsql as $$
begin
  new.change_xid := pg_current_xact_id();
  -- A version only grows (law L22), also under a hand-written UPDATE.
  if tg_op = 'UPDATE' and new.version < old.version then
    raise exception 'observation % cannot go back from version % to %', old.id, old.version, new.version;
  end if;
  return new;
end $$;

create trigger observations_before_write before insert or update on engram.observations
  for each row execute function engram.observations_before_write();

create function engram.scopes_refuse_older() returns trigger language plpgsql as $$
begin
  raise exception 'the epoch of a scope of bank % cannot go back from % to %', old.bank_id, old.epoch, new.epoch;
end $$;

-- An older epoch would let a create pass that has not seen what was written since (laws L3, L22).
create trigger scopes_refuse_older before update on engram.scopes
  for each row when (new.epoch < old.epoch) execute function engram.scopes_refuse_older();

create function engram.observations_after_delete() returns trigger language plpgsql as $$
begin
  insert into engram.vector_tombstones (bank_id, target, row_id) select bank_id, 'observations', id from deleted;
  return null;
end $$;

create trigger observations_after_delete after delete on engram.observations
  referencing old table as deleted
  for each statement execute function engram.observations_after_delete();

-- Locks memories one by one in id order, each in the mode it needs (law L4). One statement cannot mix modes, and two
-- statements would break the order: T1 {member 5, source 3} against T2 {member 3, source 5} is a deadlock.
create function engram.lock_memories(bank text, ids uuid[], member_ids uuid[])
  returns table (id uuid, version bigint, state text, is_valid boolean) language plpgsql as $$
declare
  wanted uuid;
begin
  for wanted in select distinct u from unnest(ids || member_ids) as u order by u loop
    if wanted = any (member_ids) then
      return query select m.id, m.version, m.state, m.invalidated_at is null
        from engram.memories m where m.bank_id = bank and m.id = wanted for no key update;
    else
      return query select m.id, m.version, m.state, m.invalidated_at is null
        from engram.memories m where m.bank_id = bank and m.id = wanted for share;
    end if;
  end loop;
end $$;
