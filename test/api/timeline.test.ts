import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { v7 as uuid } from 'uuid';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createRpcDispatcher } from '../../src/api/rpc.ts';
import { createTimelineFollowers, type TimelineFollowers } from '../../src/api/timeline-followers.ts';
import { insertEvents } from '../../src/store/apply-writes.ts';
import { createBank } from '../../src/store/banks.ts';
import { endOfTimeline, type TimelineReader, type TimelineRow } from '../../src/store/timeline.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createDrivenClock, type DrivenClock } from '../support/driven-clock.ts';
import { settled } from '../support/settled.ts';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

interface Event {
  readonly cursor: string;
  readonly kind: string;
  readonly text: string | null;
}

let fixture: ApiFixture;
let clock: DrivenClock;
const bank = 'b';
const url = `/v1/banks/${bank}/events`;

async function open(overrides: Parameters<typeof createApiFixture>[0] = {}): Promise<void> {
  clock = createDrivenClock();
  fixture = await createApiFixture({ clock, ...overrides });
  await createBank(fixture.db, bank);
  await settled(fixture.db);
}

async function write(...kinds: string[]): Promise<void> {
  await insertEvents(
    fixture.db,
    bank,
    kinds.map((kind) => ({ kind, memoryId: null, observationId: null, changeSetId: null, detail: {} })),
  );
  await settled(fixture.db);
}

/** What tells a restored store from the one before. */
async function restore(): Promise<void> {
  await fixture.db.query('update engram.store set epoch = epoch + 1, restored_at = now()');
}

async function page(query = ''): Promise<{ kinds: string[]; next_cursor: string | null; after_cursor: string }> {
  const { events, ...rest } = bodyOf<{ events: Event[]; next_cursor: string | null; after_cursor: string }>(
    await fixture.get(`${url}${query}`),
  );
  return { kinds: events.map((event) => event.kind), ...rest };
}

describe('a list of events', () => {
  beforeAll(() => open());
  afterAll(() => fixture.close());

  test('goes back page by page, and on from where it began', async () => {
    await write('a', 'b', 'c');
    const first = await page('?limit=2');
    expect(first.kinds).toEqual(['c', 'b']);
    const second = await page(`?limit=2&before=${first.next_cursor}`);
    expect(second).toMatchObject({ kinds: ['a', 'bank.created'], next_cursor: null });
    expect(await page(`?after=${first.after_cursor}`)).toMatchObject({ kinds: [], next_cursor: null });

    await write('d', 'e');
    const on = await page(`?limit=1&after=${first.after_cursor}`);
    expect(on.kinds).toEqual(['d']);
    expect(on.next_cursor).toBe(on.after_cursor);
    expect(await page(`?after=${on.next_cursor}`)).toMatchObject({ kinds: ['e'], next_cursor: null });
    expect((await page('?kind=bank')).kinds).toEqual(['bank.created']);
  });

  test('tells of a deleted bank what is left: ids and kinds', async () => {
    await fixture.post(`/v1/banks/${bank}/memories`, { text: 'Ana keeps bees' });
    await fixture.app.inject({ method: 'DELETE', url: `/v1/banks/${bank}` });
    const { events } = bodyOf<{ events: Event[] }>(await fixture.get(`${url}?limit=2`));
    expect(events.map(({ kind, text }) => [kind, text])).toEqual([
      ['bank.deleted', null],
      ['memory.added', null],
    ]);
  });

  const cursorOf = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  test.each([
    ['a cursor of no kind', 'before=zzz', 'before'],
    ['a cursor of another list', `after=${cursorOf(['2026-01-01T00:00:00.000000Z', uuid()])}`, 'after'],
    ['a cursor beyond any transaction', `after=${cursorOf(['s', '18446744073709551616', 1])}`, 'after'],
    ['a cursor with a broken id', `before=${cursorOf(['s', '5', -1])}`, 'before'],
    ['an empty cursor', 'before=', 'before'],
    ['both directions', `after=${cursorOf(['s', '5', 1])}&before=${cursorOf(['s', '5', 1])}`, 'after'],
    ['an unknown kind', 'kind=memory.sung', 'kind'],
    ['a limit of 0', 'limit=0', 'limit'],
  ])('refuses %s by name', async (_, query, path) => {
    const response = await fixture.get(`${url}?${query}`);
    expect(response.statusCode).toBe(422);
    expect(response.json()).toMatchObject({ error: { code: 'INVALID', details: [{ path }] } });
  });

  test('does not go on from before a restore, in either direction, nor does a stream: the cursor is refused', async () => {
    await createBank(fixture.db, 'restored');
    const list = '/v1/banks/restored/events';
    const { events, after_cursor: after } = bodyOf<{ events: Event[]; after_cursor: string }>(await fixture.get(list));
    const asked = [`${list}?after=${after}`, `${list}?before=${events[0]?.cursor}`, `${list}/stream?after=${after}`];
    expect((await fixture.get(asked[0] ?? '')).statusCode).toBe(200);
    await restore();
    for (const path of asked) {
      const response = await fixture.get(path);
      expect(response.statusCode).toBe(422);
      expect(response.json()).toMatchObject({
        error: {
          code: 'INVALID',
          message: expect.stringContaining('the store was restored since; read from the beginning'),
        },
      });
    }
    const again = bodyOf<{ after_cursor: string }>(await fixture.get(list));
    expect((await fixture.get(`${list}?after=${again.after_cursor}`)).statusCode).toBe(200);
  });

  test('of a bank that never was is not found', async () => {
    expect((await fixture.get('/v1/banks/nobody/events')).statusCode).toBe(404);
    expect((await fixture.get('/v1/banks/nobody/events/stream')).statusCode).toBe(404);
  });
});

/** A client that reads lines when it is asked for one. */
async function follow(query = '') {
  await listening();
  const { port } = fixture.app.server.address() as AddressInfo;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ port, path: `${url}/stream${query}`, agent: false }, resolve).once('error', reject);
  });
  const lines = linesOf(response);
  return {
    response,
    /** The kinds of the next events; null at the end. */
    async next(count: number) {
      const kinds: (string | null)[] = [];
      while (kinds.length < count) {
        const { value, done } = await lines.next();
        kinds.push(done ? null : (JSON.parse(value) as Event).kind);
      }
      return kinds;
    },
  };
}

async function listening(): Promise<void> {
  if (!fixture.app.server.listening) await fixture.app.listen({ port: 0 });
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string, undefined, void> {
  let rest = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const parts = `${rest}${chunk}`.split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
  }
  return undefined;
}

/** Lets the server's own loop look, second by second, until the client has what it waits for. */
async function passing<T>(wanted: Promise<T>): Promise<T> {
  let isHere = false;
  const settle = () => {
    isHere = true;
  };
  wanted.then(settle, settle);
  while (!isHere) {
    await clock.advance(1000);
    await fixture.db.query('select 1');
  }
  return wanted;
}

describe('a stream of events', () => {
  afterEach(() => fixture.close());

  test('begins now, or where it is told to, and gives each event once, also what commits late', async () => {
    await open();
    await write('before');
    const stream = await follow();
    expect(stream.response.headers['content-type']).toBe('application/x-ndjson; charset=utf-8');
    const written = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const late = fixture.db.tx({ label: 'test' }, async (tx) => {
      await insertEvents(tx, bank, [
        { kind: 'late', memoryId: null, observationId: null, changeSetId: null, detail: {} },
      ]);
      written.resolve();
      await released.promise;
    });
    await written.promise;
    await insertEvents(fixture.db, bank, [
      { kind: 'early', memoryId: null, observationId: null, changeSetId: null, detail: {} },
    ]);
    await clock.advance(5000);
    released.resolve();
    await late;
    expect(await passing(stream.next(2))).toEqual(['late', 'early']);
    await write('more');
    expect(await passing(stream.next(1))).toEqual(['more']);
    stream.response.destroy();

    const { after_cursor: now } = await page();
    await write('memory.added', 'other');
    const filtered = await follow(`?after=${now}&kind=memory`);
    expect(await passing(filtered.next(1))).toEqual(['memory.added']);
    filtered.response.destroy();
  });

  test('is activity once, at its opening, and never a request in flight', async () => {
    await open();
    const stream = await follow();
    expect([fixture.work, fixture.inFlight()]).toEqual([['/v1/banks/{bank}/events/stream'], 0]);
    await write('memory.added');
    await passing(stream.next(1));
    expect([fixture.work, fixture.inFlight()]).toEqual([['/v1/banks/{bank}/events/stream'], 0]);
    stream.response.destroy();
  });

  test('ends in order with the daemon, and the daemon does not wait for it', async () => {
    await open();
    const stream = await follow();
    await write('last');
    expect(await passing(stream.next(1))).toEqual(['last']);
    const end = stream.next(1);
    await fixture.app.close();
    expect(await end).toEqual([null]);
    expect(stream.response.complete).toBe(true);
  });

  test('to a client that does not read stops asking for more, and holds no more than the pipe does', async () => {
    let given = 0;
    const most = 200_000;
    const followers: TimelineFollowers = {
      async *follow(reader): AsyncGenerator<TimelineRow, void, void> {
        for (; given < most; given += 1) {
          const place = { ...reader.after, id: given };
          const none = { memoryId: null, observationId: null, changeSetId: null };
          yield { place, at: new Date(0), kind: 'flood', ...none, detail: {}, text: 'x'.repeat(200) };
        }
      },
      rest: async () => undefined,
      resume: () => undefined,
      stop: async () => undefined,
    };
    await open({ followers });
    const { response } = await follow();
    // Requests that are answered meanwhile show that the server had its turns.
    const turns = async () => {
      for (let n = 0; n < 50; n += 1) await fixture.get('/healthz');
      return given;
    };
    let before = -1;
    while (before !== given) {
      before = given;
      await turns();
    }
    expect(given).toBeGreaterThan(0);
    expect(given).toBeLessThan(most);
    response.destroy();
  });

  test('that its client has left costs nothing more', async () => {
    await open();
    const stream = await follow();
    const gone = new Promise((resolve) =>
      fixture.app.server.once('connection', (socket) => socket.once('close', resolve)),
    );
    stream.response.destroy();
    // The next connection ends behind the one that was left.
    const other = await follow();
    other.response.destroy();
    await gone;
    const asked = countQueries();
    await clock.advance(60_000);
    expect(asked()).toBe(0);
  });

  test('is for HTTP: no method of the control socket, and nothing that a command does by itself', async () => {
    await open();
    const dispatch = createRpcDispatcher(fixture.deps);
    const { signal } = new AbortController();
    const call = (method: string, params: object) => dispatch({ jsonrpc: '2.0', id: 1, method, params }, signal);
    expect(await call('followEvents', { bank })).toMatchObject({ error: { code: -32601 } });
    expect(await call('listEvents', { bank })).toMatchObject({ result: { events: [{ kind: 'bank.created' }] } });
  });
});

/** Until no statement is under way, and whoever asked has heard. */
async function answered(): Promise<void> {
  do await new Promise(setImmediate);
  while (fixture.db.poolCounts().used > 0);
  await new Promise(setImmediate);
}

/** Statements sent from here on. */
function countQueries(): () => number {
  const { db } = fixture;
  const query = db.query.bind(db);
  let count = 0;
  Object.assign(db, {
    query: (...args: Parameters<typeof query>) => {
      count += 1;
      return query(...args);
    },
  });
  return () => count;
}

describe('followers', () => {
  let followers: TimelineFollowers;
  let from: TimelineReader;
  beforeEach(async () => {
    await open();
    const { store } = await endOfTimeline(fixture.db);
    from = { bankId: bank, kind: null, after: { store, xid: '0', id: 0 } };
    followers = createTimelineFollowers({ db: fixture.db, clock, log: silentLog });
  });
  afterEach(async () => {
    await followers.stop();
    await fixture.close();
  });
  const { signal } = new AbortController();

  test('ask the database at most once a second, by one statement, however many they are', async () => {
    const all = Array.from({ length: 20 }, () => followers.follow(from, signal));
    const firsts = await passing(Promise.all(all.map((one) => one.next())));
    expect(firsts.map(({ value }) => value?.kind)).toEqual(all.map(() => 'bank.created'));
    const nexts = Promise.all(all.map((one) => one.next()));
    await clock.advance(1000);
    await answered();
    const asked = countQueries();
    for (let second = 0; second < 5; second += 1) {
      await clock.advance(999);
      expect(asked()).toBe(second);
      await clock.advance(1);
      await answered();
      expect(asked()).toBe(second + 1);
    }
    await followers.stop();
    expect((await nexts).every(({ done }) => done)).toBe(true);
  });

  test('ask nothing while nobody waits for more: who has not taken what there is has no room', async () => {
    const asked = countQueries();
    const one = followers.follow(from, signal);
    await one.next();
    await clock.advance(3_600_000);
    expect(asked()).toBe(1);
    await one.return();
  });

  test('ask nothing at all while the daemon is parked, and go on without a gap', async () => {
    const one = followers.follow(from, signal);
    await one.next();
    const next = one.next();
    await followers.rest();
    const asked = countQueries();
    await fixture.db.tx({ label: 'test' }, (tx) =>
      insertEvents(tx, bank, [{ kind: 'asleep', memoryId: null, observationId: null, changeSetId: null, detail: {} }]),
    );
    await clock.advance(3_600_000);
    expect(asked()).toBe(0);
    followers.resume();
    expect((await passing(next)).value?.kind).toBe('asleep');
  });

  test('outlive a database that does not answer for a while', async () => {
    const one = followers.follow(from, signal);
    await one.next();
    const { query } = fixture.db;
    Object.assign(fixture.db, { query: () => Promise.reject(new Error('the server is away')) });
    const next = one.next();
    await clock.advance(10_000);
    Object.assign(fixture.db, { query });
    await write('back');
    expect((await passing(next)).value?.kind).toBe('back');
  });

  test('come to their end where the store is restored under them', async () => {
    const one = followers.follow(from, signal);
    const other = followers.follow(from, signal);
    expect((await passing(one.next())).value?.kind).toBe('bank.created');
    await restore();
    expect(await passing(Promise.all([one.next(), other.next()]))).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
  });

  test('are let go of one by one, whenever their signals say so', async () => {
    const gone = new AbortController();
    const one = followers.follow(from, gone.signal);
    await one.next();
    const next = one.next();
    gone.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(await followers.follow(from, gone.signal).next()).toEqual({ done: true, value: undefined });
  });
});
