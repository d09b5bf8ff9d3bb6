import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BuildWaitTimeoutError } from '../../src/builds/build-outcome.ts';
import type { BuildKey, BuildStore } from '../../src/builds/build-store.ts';
import type { Freshness } from '../../src/builds/freshness.ts';
import { type Built, createSharedBuild, type SharedBuildOptions } from '../../src/builds/shared-build.ts';
import type { Database } from '../../src/db/database.ts';
import { createBuildStore } from '../../src/store/shared-builds.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { createRaceControl } from '../support/race-control.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
});
afterAll(() => database.drop());

let key: BuildKey;
beforeEach(async () => {
  const bankId = randomUUID();
  await db.query('insert into engram.banks (id) values ($1)', [bankId]);
  key = { bankId, kind: 'test', key: 'model' };
});

const { signal } = new AbortController();
const complete = (value: string): Built<string> => ({ value, rows: value.length, seenXid: '7', isComplete: true });

/** What one daemon makes of it; its builds are counted over all. */
function daemon(options: Partial<SharedBuildOptions<string>> = {}) {
  const outcomes: string[] = [];
  const lines: string[] = [];
  const races = createRaceControl();
  let builds = 0;
  const state = { freshness: 'fresh' as Freshness };
  const shared = createSharedBuild<string>({
    store: createBuildStore(db),
    clock: systemClock,
    log: createLog({ level: 'warn', pretty: false, destination: { write: (line: string) => lines.push(line) } }),
    racepoints: races,
    holder: randomUUID(),
    leaseMs: 60_000,
    pollMs: 2,
    waitMs: 20_000,
    buildMs: 60_000,
    retryMs: 600_000,
    build: async () => {
      builds += 1;
      return complete(`built ${builds}`);
    },
    judge: async () => state.freshness,
    encode: (value) => Buffer.from(value),
    decode: (saved) => Buffer.from(saved.payload).toString(),
    onOutcome: (outcome) => outcomes.push(outcome),
    ...options,
  });
  return { shared, outcomes, lines, races, state, builds: () => builds };
}

/** As if the holder had been killed long enough ago. */
const runOut = () =>
  db.query("update engram.build_leases set expires_at = now() - interval '1 ms' where bank_id = $1", [key.bankId]);

async function saved(): Promise<string | undefined> {
  const { rows } = await db.query<{ payload: Buffer }>('select payload from engram.shared_builds where bank_id = $1', [
    key.bankId,
  ]);
  return rows[0]?.payload.toString();
}

describe('once a database', () => {
  it('eight callers on each of two daemons are one build, which the other daemon loads', async () => {
    const inner = createBuildStore(db);
    const asked = { loads: 0, claims: 0 };
    const store: BuildStore = {
      ...inner,
      load: async (of) => {
        const saved = await inner.load(of);
        asked.loads += 1;
        return saved;
      },
      claim: (...args) => {
        asked.claims += 1;
        return inner.claim(...args);
      },
    };
    const [a, b] = [daemon({ store }), daemon()];
    const hold = a.races.hold('build:leading');
    const first = a.shared.get(key, { signal });
    await hold.reached;
    const others = [a, b].flatMap(({ shared }) => Array.from({ length: 7 }, () => shared.get(key, { signal })));
    const last = b.shared.get(key, { signal });
    // The leader has looked twice, each of the others once; from then on they wait without a statement.
    await expect.poll(() => asked.loads).toBe(9);
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual({ loads: 9, claims: 1 });
    hold.release();
    expect(new Set(await Promise.all([first, ...others, last]))).toEqual(new Set(['built 1']));
    expect([a.builds(), b.builds()]).toEqual([1, 0]);
    expect(a.outcomes.toSorted()).toEqual(['built', ...Array(7).fill('joined')]);
    expect(b.outcomes).toContain('loaded');
    expect(await daemon().shared.get(key, { signal })).toBe('built 1');
  });

  it('a daemon that dies while it builds has exactly one successor, and can save nothing afterwards', async () => {
    const dead = daemon({ build: async () => complete('of the dead') });
    const hold = dead.races.hold('build:before-save');
    const late = dead.shared.get(key, { signal });
    await hold.reached;
    const living = [daemon(), daemon(), daemon()];
    const calls = living.map(({ shared }) => shared.get(key, { signal }));
    await runOut();
    expect(await Promise.all(calls)).toEqual(Array(3).fill('built 1'));
    expect(living.map(({ builds }) => builds()).toSorted()).toEqual([0, 0, 1]);
    hold.release();
    expect(await late).toBe('built 1');
    expect(await saved()).toBe('built 1');
    expect(dead.lines.join()).toContain('was not saved');
  });

  it('a lease that is lost ends the build, and what its successor saved is what its caller gets', async () => {
    const slow = daemon({
      leaseMs: 30,
      build: (_key, ending) =>
        new Promise((_resolve, reject) => {
          ending.addEventListener('abort', () => reject(ending.reason));
        }),
    });
    const hold = slow.races.hold('build:leading');
    const call = slow.shared.get(key, { signal });
    await hold.reached;
    await db.query(
      `update engram.build_leases set holder = gen_random_uuid(), fence = fence + 1, expires_at = now() + interval '1 minute'
       where bank_id = $1`,
      [key.bankId],
    );
    hold.release();
    const store = createBuildStore(db);
    expect(
      await store.save(key, 2, { rows: 1, seenXid: '7', isComplete: true, payload: Buffer.from('successor') }),
    ).toBe(true);
    expect(await call).toBe('successor');
  });

  it('keeps its lease for as long as it builds', async () => {
    const gate = Promise.withResolvers<void>();
    let renewals = 0;
    const inner = createBuildStore(db);
    const slow = daemon({
      leaseMs: 30,
      store: {
        ...inner,
        // Long enough for a machine that is busy; how often it is renewed is what is looked at.
        claim: (of, holder) => inner.claim(of, holder, 60_000),
        renew: async (of, holder, fence) => {
          renewals += 1;
          if (renewals === 3) gate.resolve();
          return inner.renew(of, holder, fence, 60_000);
        },
      },
      build: async () => {
        await gate.promise;
        return complete('slow');
      },
    });
    expect(await slow.shared.get(key, { signal })).toBe('slow');
    expect(await saved()).toBe('slow');
  });

  it('another key in the middle of a build is another build, and each is made once', async () => {
    const a = daemon();
    const hold = a.races.hold('build:leading');
    const before = a.shared.get(key, { signal });
    await hold.reached;
    const other = { ...key, key: 'the next model' };
    const after = [a.shared.get(other, { signal }), a.shared.get(other, { signal })];
    expect(new Set(await Promise.all(after))).toEqual(new Set(['built 1']));
    hold.release();
    expect(await before).toBe('built 2');
    expect(a.builds()).toBe(2);
  });

  it('a daemon that builds for ever is waited for no longer than the bound', async () => {
    const [hung, b] = [daemon(), daemon({ waitMs: 20 })];
    const hold = hung.races.hold('build:leading');
    const call = hung.shared.get(key, { signal });
    await hold.reached;
    await expect(b.shared.get(key, { signal })).rejects.toThrow(BuildWaitTimeoutError);
    expect(b.outcomes).toEqual(['timed_out']);
    hold.release();
    await call;
  });

  it('a caller that leaves ends a build of its own, which saves nothing and lets the next one in at once', async () => {
    const leaving = new AbortController();
    const a = daemon();
    const hold = a.races.hold('build:leading');
    const call = a.shared.get(key, { signal: leaving.signal });
    await hold.reached;
    leaving.abort(new Error('somebody came back'));
    await expect(call).rejects.toThrow('somebody came back');
    hold.release();
    await a.shared.stop();
    expect(await saved()).toBeUndefined();
    expect([a.builds(), a.outcomes]).toEqual([0, []]);
    expect(await daemon().shared.get(key, { signal })).toBe('built 1');
  });
});

describe('the fuse', () => {
  it('hands out the last good one and begins one rebuild behind it, however many ask', async () => {
    const a = daemon();
    await a.shared.get(key, { signal });
    a.state.freshness = 'stale';
    const hold = a.races.hold('build:leading');
    const answers = await Promise.all(Array.from({ length: 8 }, () => a.shared.get(key, { signal })));
    await hold.reached;
    expect([answers, a.builds()]).toEqual([Array(8).fill('built 1'), 1]);
    expect(a.outcomes).toEqual(['built', ...Array(8).fill('loaded')]);
    hold.release();
    await expect.poll(saved).toBe('built 2');
    a.state.freshness = 'fresh';
    expect(await a.shared.get(key, { signal })).toBe('built 2');
    await a.shared.stop();
  });

  it('a rebuild that fails leaves the last good one, and is not tried again at each read', async () => {
    await daemon().shared.get(key, { signal });
    const inner = createBuildStore(db);
    let claims = 0;
    const b = daemon({
      store: {
        ...inner,
        claim: (...args) => {
          claims += 1;
          return inner.claim(...args);
        },
      },
      build: () => Promise.reject(new Error('no memory')),
    });
    b.state.freshness = 'stale';
    expect(await b.shared.get(key, { signal })).toBe('built 1');
    await expect.poll(() => b.outcomes).toEqual(['loaded', 'failed']);
    expect(await b.shared.get(key, { signal })).toBe('built 1');
    await new Promise((resolve) => setImmediate(resolve));
    expect([claims, await saved()]).toEqual([1, 'built 1']);
    await b.shared.stop();
  });
});

describe('a process that lets go of everything', () => {
  it('ends the build of a caller, who is told so, and serves the next one as ever', async () => {
    const a = daemon();
    const hold = a.races.hold('build:leading');
    const calls = Promise.allSettled([a.shared.get(key, { signal }), a.shared.get(key, { signal })]);
    await hold.reached;
    const stopped = a.shared.stop();
    hold.release();
    await stopped;
    for (const end of await calls) expect(end).toMatchObject({ status: 'rejected', reason: { code: 'BUILD_STOPPED' } });
    expect([a.builds(), await saved(), a.outcomes]).toEqual([0, undefined, []]);
    expect(await a.shared.get(key, { signal })).toBe('built 1');
  });

  it('ends the wait of a caller for the build of another daemon', async () => {
    const [a, b] = [daemon(), daemon()];
    const hold = a.races.hold('build:leading');
    const built = a.shared.get(key, { signal });
    await hold.reached;
    const waiting = expect(b.shared.get(key, { signal })).rejects.toMatchObject({ code: 'BUILD_STOPPED' });
    await b.shared.stop();
    await waiting;
    hold.release();
    expect(await built).toBe('built 1');
  });

  it('ends a rebuild behind what was handed out, and begins another when it is back', async () => {
    const a = daemon();
    await a.shared.get(key, { signal });
    a.state.freshness = 'stale';
    const hold = a.races.hold('build:leading');
    await a.shared.get(key, { signal });
    await hold.reached;
    const stopped = a.shared.stop();
    hold.release();
    await stopped;
    expect([a.builds(), await saved()]).toEqual([1, 'built 1']);
    expect(await a.shared.get(key, { signal })).toBe('built 1');
    await expect.poll(saved).toBe('built 2');
    await a.shared.stop();
  });
});

describe('what is saved', () => {
  it('and cannot be read is made again, with a warning', async () => {
    await daemon().shared.get(key, { signal });
    const b = daemon({
      decode: (build) => {
        if (build.rows !== 3) throw new TypeError('bytes of another kind');
        return 'read';
      },
      build: async () => ({ ...complete('new'), rows: 3 }),
    });
    expect(await b.shared.get(key, { signal })).toBe('new');
    expect(b.lines.join()).toContain('bytes of another kind');
    expect(await b.shared.get(key, { signal })).toBe('read');
  });

  it('an error read as empty: what cannot be loaded is not built, it is an error', async () => {
    const store = createBuildStore(db);
    const a = daemon({ store: { ...store, load: () => Promise.reject(new Error('connection lost')) } });
    await expect(a.shared.get(key, { signal })).rejects.toThrow('connection lost');
    expect([a.builds(), a.outcomes]).toEqual([0, ['failed']]);
  });

  it('a complete cache overwritten by a partial one: it is kept, and handed out instead', async () => {
    await daemon().shared.get(key, { signal });
    const b = daemon({ build: async () => ({ ...complete('half'), isComplete: false }) });
    b.state.freshness = 'stale';
    expect(await b.shared.get(key, { signal })).toBe('built 1');
    await expect.poll(() => b.outcomes).toEqual(['loaded', 'built']);
    expect(await saved()).toBe('built 1');
    await b.shared.stop();
  });

  it('of a bank that is deleted meanwhile goes with it', async () => {
    const a = daemon({ log: silentLog });
    const hold = a.races.hold('build:before-save');
    const call = a.shared.get(key, { signal });
    await hold.reached;
    await db.query('delete from engram.banks where id = $1', [key.bankId]);
    hold.release();
    expect(await call).toBe('built 1');
    expect(await saved()).toBeUndefined();
  });

  it('of a bank that is gone is waited for by nobody: who asks, and who waits for another daemon, is told so', async () => {
    const [a, b] = [daemon(), daemon()];
    const hold = a.races.hold('build:before-save');
    const call = a.shared.get(key, { signal });
    await hold.reached;
    const waiting = b.shared.get(key, { signal });
    const told = expect(waiting).rejects.toMatchObject({ code: 'BUILD_BANK_GONE' });
    await db.query('delete from engram.banks where id = $1', [key.bankId]);
    await told;
    hold.release();
    await call;
    await expect(a.shared.get(key, { signal })).rejects.toMatchObject({ code: 'BUILD_BANK_GONE' });
    expect([b.builds(), b.outcomes, a.outcomes]).toEqual([0, [], ['built']]);
  });
});
