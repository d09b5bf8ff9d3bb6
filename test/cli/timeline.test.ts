import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApp } from '../../src/api/app.ts';
import { createTimelineFollowers } from '../../src/api/timeline-followers.ts';
import type { TimelineEvent } from '../../src/cli/api-types.ts';
import type { CommandContext } from '../../src/cli/command-context.ts';
import { findDaemon } from '../../src/cli/http-transport.ts';
import { addPin } from '../../src/cli/pin.ts';
import { addRecall } from '../../src/cli/recall.ts';
import { createTerminal } from '../../src/cli/terminal.ts';
import { addTimeline } from '../../src/cli/timeline.ts';
import { followTimeline } from '../../src/cli/timeline-follow.ts';
import { eventLine } from '../../src/cli/timeline-words.ts';
import { addUnpin } from '../../src/cli/unpin.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { removeDaemonFile, writeDaemonFile } from '../../src/daemon/daemon-file.ts';
import { eventKinds } from '../../src/store/event-kinds.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { type ApiFixture, createApiFixture } from '../api/api-fixture.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { settled } from '../support/settled.ts';
import { hastyClock, runCommand } from './run-command.ts';

const folder = createScratchFolder();
const dataDir = join(folder, 'data');
let fixture: ApiFixture;
beforeAll(async () => {
  mkdirSync(dataDir);
  fixture = await createApiFixture();
});
afterAll(async () => {
  await fixture.close();
  removeScratchFolder(folder);
});

/** A daemon on the fixture's database, as commands find it. */
async function startDaemon() {
  // The second second is over at once: what is tested is what comes, not how often somebody looks.
  const clock = { ...hastyClock(), now: systemClock.now };
  const followers = createTimelineFollowers({ db: fixture.db, clock, log: silentLog });
  const app = await createApp({ ...fixture.deps, followers });
  const { id: instanceId } = fixture.deps.instance;
  const url = await app.listen({ port: 0 });
  const startedAt = new Date().toISOString();
  await writeDaemonFile(dataDir, { url, pid: process.pid, instanceId, version: '0.0.0', startedAt });
  return {
    async stop() {
      await removeDaemonFile(dataDir, instanceId);
      await app.close();
    },
  };
}

const run = (add: Parameters<typeof runCommand>[0], ...args: string[]) =>
  runCommand(add, [...args, '--data-dir', dataDir]);
const remember = async (text: string): Promise<string> => {
  const written = await fixture.post('/v1/banks/b/memories', { text });
  return (written.json() as { memories: { id: string }[] }).memories[0]?.id ?? '';
};

/** Somebody who follows a bank. */
async function following(bank: string) {
  const seen: string[] = [];
  const notes: string[] = [];
  let heard = Promise.withResolvers<void>();
  const stop = new AbortController();
  const { config } = loadConfig({ env: { HOME: folder }, flags: { dataDir } });
  const find = () => findDaemon({ config, signal: stop.signal });
  const daemon = await find();
  if (!daemon) throw new Error('no daemon');
  const tell = (into: string[], text: string) => {
    into.push(text);
    heard.resolve();
  };
  const done = followTimeline(daemon, {
    bank,
    kind: undefined,
    limit: 10,
    find,
    onEvent: (event) => tell(seen, event.text ?? event.kind),
    onNote: (note) => tell(notes, note),
    clock: hastyClock(),
    signal: stop.signal,
  });
  return {
    seen,
    notes,
    async until(last: string, among: readonly string[] = seen) {
      while (among.at(-1) !== last) {
        heard = Promise.withResolvers();
        await heard.promise;
      }
    },
    async end() {
      stop.abort();
      await done;
    },
  };
}

describe('engramd timeline', () => {
  it('lists what happened in words, newest first, page by page; --json has the page', async () => {
    const daemon = await startDaemon();
    const id = await remember('Ana drinks tea');
    const list = await run(addTimeline, 'timeline', '--bank', 'b', '--limit', '1');
    expect(list.error).toBeUndefined();
    expect(list.stdout).toMatch(
      new RegExp(`^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d  remembered +Ana drinks tea  ${id}\\n$`),
    );
    const cursor = /older: --before (\S+)/.exec(list.stderr)?.[1] ?? '';
    const older = await run(addTimeline, 'timeline', '--bank', 'b', '--before', cursor);
    expect(older.stdout).toMatch(/ {2}bank made\n$/);
    const json = await run(addTimeline, '--json', 'timeline', '--bank', 'b', '--kind', 'memory');
    expect(JSON.parse(json.stdout)).toMatchObject({ events: [{ kind: 'memory.added', memory_id: id }] });

    // Forgotten is forgotten.
    await fixture.app.inject({ method: 'DELETE', url: `/v1/banks/b/memories/${id}` });
    const after = await run(addTimeline, 'timeline', '--bank', 'b');
    expect(after.stdout).toContain('forgotten');
    expect(after.stdout).not.toContain('tea');
    await daemon.stop();
  });

  it('refuses a kind that there is none of, two directions, and a cursor that is none', async () => {
    const daemon = await startDaemon();
    expect((await run(addTimeline, 'timeline', '--kind', 'song')).error).toMatchObject({ code: 'USAGE', exitCode: 2 });
    const both = await run(addTimeline, 'timeline', '--follow', '--before', 'x');
    expect(both.error).toMatchObject({ code: 'USAGE', exitCode: 2 });
    const wrong = await run(addTimeline, 'timeline', '--bank', 'b', '--before', 'x');
    expect(wrong.error).toMatchObject({ code: 'INVALID', exitCode: 2 });
    await daemon.stop();
  });

  it('--help says when --follow is silent', () => {
    const program = new Command();
    addTimeline(program, {} as CommandContext);
    const help = program.commands[0]?.helpInformation().replaceAll(/\s+/g, ' ');
    expect(help).toContain('as when a backup is verified there, nothing is printed, and all of it after');
  });

  it('--follow without a daemon exits 3', async () => {
    const alone = await run(addTimeline, 'timeline', '--follow');
    expect(alone.error).toMatchObject({ code: 'DAEMON_UNREACHABLE', exitCode: 3 });
  });

  it('--follow tells each event once, waits for a daemon that restarts, and reads on from where it stood', async () => {
    const first = await startDaemon();
    await fixture.post('/v1/banks', { id: 'f' });
    const { seen, notes, until, end } = await following('f');
    await fixture.post('/v1/banks/f/memories', { text: 'one' });
    await until('one');
    await first.stop();
    await fixture.post('/v1/banks/f/memories', { text: 'two' });
    const second = await startDaemon();
    await until('two');
    await fixture.post('/v1/banks/f/memories', { text: 'three' });
    await until('three');
    await end();
    expect(seen).toEqual(['bank.created', 'one', 'two', 'three']);
    expect(notes).toEqual(['the daemon has gone; waiting for it', 'the daemon answers again']);
    await second.stop();
  });

  it('--follow of a store that was restored meanwhile says so and goes on from then, not from the beginning', async () => {
    const first = await startDaemon();
    await fixture.post('/v1/banks', { id: 'r' });
    const { seen, notes, until, end } = await following('r');
    await fixture.post('/v1/banks/r/memories', { text: 'one' });
    await until('one');
    await first.stop();
    // What a restore does: all that there was comes in by other transactions, into what counts as another store.
    await fixture.db.query("update engram.events set change_xid = pg_current_xact_id() where bank_id = 'r'");
    await fixture.db.query('update engram.store set epoch = epoch + 1, restored_at = now()');
    await settled(fixture.db);
    const second = await startDaemon();
    await until('the store was restored since; this goes on from now', notes);
    await fixture.post('/v1/banks/r/memories', { text: 'two' });
    await until('two');
    await end();
    expect(seen).toEqual(['bank.created', 'one', 'two']);
    expect(notes).toEqual([
      'the daemon has gone; waiting for it',
      'the daemon answers again',
      'the store was restored since; this goes on from now',
    ]);
    await second.stop();
  });

  it('--follow of a bank that is not there says so and ends', async () => {
    const daemon = await startDaemon();
    const none = await run(addTimeline, 'timeline', '--follow', '--bank', 'nobody');
    expect(none.error).toMatchObject({ code: 'BANK_NOT_FOUND', exitCode: 1 });
    await daemon.stop();
  });

  it('has words for every kind, and says an unknown one as it is', () => {
    const terminal = createTerminal(process.stdout, process.stderr, {});
    const event = (kind: string): TimelineEvent => ({
      cursor: 'x',
      at: '2026-03-04T09:00:00.000Z',
      kind,
      memory_id: null,
      observation_id: null,
      change_set_id: null,
      detail: {},
      text: null,
    });
    for (const kind of eventKinds) expect(eventLine(terminal, event(kind))).not.toContain(kind);
    expect(eventLine(terminal, event('memory.sung'))).toContain('memory.sung');
    const scored = { ...event('memory.scored'), detail: { score: 3, entities: ['Ana'] } };
    expect(eventLine(terminal, scored)).toMatch(/scored 3/);
  });
});

it('pins several, unpins them, and shows them first in recall', async () => {
  const daemon = await startDaemon();
  const ids = [await remember('Ana is allergic to nuts'), await remember('The spare key is under the pot')];
  const pinned = await run(addPin, 'pin', ...ids, '--bank', 'b');
  expect(pinned).toMatchObject({ error: undefined, stdout: ids.map((id) => `${id} is pinned\n`).join('') });
  const again = await run(addPin, '--json', 'pin', ids[0] ?? '', '--bank', 'b');
  expect(JSON.parse(again.stdout)).toEqual({ id: ids[0], pin: 'manual', already: true, evicted: [] });
  const recalled = await run(addRecall, 'recall', 'nuts', '--pinned', '--bank', 'b');
  expect(recalled.stdout.split('\n')[0]).toBe('○ The spare key is under the pot pinned');
  const unpinned = await run(addUnpin, 'unpin', ...ids, '--bank', 'b');
  expect(unpinned.stdout).toBe(ids.map((id) => `${id} is no longer pinned\n`).join(''));
  const gone = await run(addPin, 'pin', '01890000-0000-7000-8000-00000000dead', '--bank', 'b');
  expect(gone.error).toMatchObject({ code: 'NOT_FOUND', exitCode: 1 });
  await daemon.stop();
});
