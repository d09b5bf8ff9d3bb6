import type { DirectSession } from '../../db/direct-session.ts';

/** What an import needs of its transaction. */
export async function setImportSession(session: DirectSession): Promise<void> {
  await session.script("set local timezone = 'UTC'; set local datestyle = 'ISO'; set local extra_float_digits = 1");
  await session.query("select set_config('engram.writer', 'import', true)");
  // A restore that is waited for comes after this, or this one after it: never in the middle.
  await session.query('select epoch from engram.store');
  // Gathered first: an event has no key of its own to tell by, and of a bank that was deleted here the timeline is left.
  await session.query('create temp table incoming_events (like engram.events including defaults) on commit drop');
  await session.query('alter table incoming_events alter column id drop not null');
}
