import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { createTestDatabase } from '../support/test-database.ts';
import type { DyingDaemonSettings } from './daemon-orders.ts';
import { type DaemonEnvironment, type DaemonExit, type DaemonProcess, startDaemon, urlOf } from './daemon-process.ts';
import { load, seed, type WorkloadRequest } from './workload.ts';

export interface Delivery {
  readonly memoryIds: readonly string[];
  /** Requests whose answer was the one kept from a first time that nobody heard. */
  readonly replays: number;
}

/** A database, a data directory and the daemon on them: whatever dies is started again in the same place. */
export interface Lane {
  readonly db: Database;
  readonly home: Home;
  readonly daemon: DaemonProcess;
  /** Deaths that were followed by a new start, oldest first. */
  readonly deaths: readonly DaemonExit[];
  start(settings?: DyingDaemonSettings): Promise<DaemonProcess>;
  /** Waits for the daemon to die and starts another. */
  revive(settings?: DyingDaemonSettings): Promise<void>;
  /** As a client that does not give up: the same request with the same key, whoever answers it. */
  deliver(bank: string, requests: readonly WorkloadRequest[], label: string): Promise<Delivery>;
  requestConsolidation(bank: string): Promise<void>;
  /** The same as a client that does not care for the answer: the daemon may die of it, and stays dead. */
  askOnce(bank: string): Promise<void>;
  /** One request whose answer the daemon may die of; null where it did. */
  send(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<Response | null>;
  /** What a bank becomes where nothing dies; the ids of the load's memories. */
  consolidateInPeace(bank: string, requests?: readonly WorkloadRequest[]): Promise<readonly string[]>;
  /** Until nothing of the bank is left to do. */
  settled(bank: string, withinMs?: number): Promise<void>;
  /** A bank whose seed is consolidated. */
  seededBank(): Promise<string>;
  close(): Promise<void>;
}

/** Where a daemon lives, and what is left of it when it does not. */
export interface Home extends DaemonEnvironment {
  /** A connection beside the daemon's; only once it has started where it brings its database along. */
  connect(): Database;
  remove(): Promise<void>;
}

/** A data directory and a database on the server of the tests. */
export async function createHome(variables: Readonly<Record<string, string>> = {}): Promise<Home> {
  const database = await createTestDatabase({ poolMax: 3 });
  const dataDir = mkdtempSync(join(tmpdir(), `engramd-test-${process.pid}-`));
  return {
    dataDir,
    databaseUrl: database.connectionString,
    variables,
    connect: () => database.db,
    async remove() {
      await database.drop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

const banksAtOnce = 8;

/** Starts a daemon, by default with banks whose seed is consolidated. */
export async function createLane(
  options: { readonly home?: Home; readonly banks?: number; readonly settings?: DyingDaemonSettings } = {},
): Promise<Lane> {
  const home = options.home ?? (await createHome());
  const deaths: DaemonExit[] = [];
  const banks: string[] = [];
  let seededBanks = 0;
  let daemon: DaemonProcess | undefined;

  function current(): DaemonProcess {
    if (!daemon) throw new Error('no daemon was started');
    return daemon;
  }

  async function start(settings = options.settings ?? {}): Promise<DaemonProcess> {
    daemon = startDaemon(home, settings);
    await urlOf(daemon);
    return daemon;
  }

  async function revive(settings?: DyingDaemonSettings): Promise<void> {
    deaths.push(await soon('die', current().exited));
    await start(settings);
  }

  /** Answered in full, or rejected. */
  async function send(path: string, body: unknown, key?: string, method = 'POST'): Promise<Response> {
    const response = await fetch(new URL(path, await urlOf(current())), {
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { 'idempotency-key': key }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    await response.clone().arrayBuffer();
    return response;
  }

  async function post(path: string, body: unknown, key?: string): Promise<Response> {
    for (;;) {
      let response: Response;
      try {
        response = await send(path, body, key);
      } catch {
        await revive();
        continue;
      }
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return response;
    }
  }

  async function deliver(bank: string, requests: readonly WorkloadRequest[], label: string): Promise<Delivery> {
    const memoryIds: string[] = [];
    let replays = 0;
    for (const [index, memories] of requests.entries()) {
      const response = await post(`/v1/banks/${bank}/memories`, memories, `${label}-${index}`);
      const answer = (await response.json()) as { memories: { id: string }[] };
      memoryIds.push(...answer.memories.map(({ id }) => id));
      if (response.headers.get('idempotency-replayed') === 'true') replays += 1;
    }
    return { memoryIds, replays };
  }

  async function requestConsolidation(bank: string): Promise<void> {
    await post(`/v1/banks/${bank}/consolidations`, {});
  }

  async function askOnce(bank: string): Promise<void> {
    await send(`/v1/banks/${bank}/consolidations`, {}).catch(() => undefined);
  }

  async function consolidateInPeace(
    bank: string,
    requests: readonly WorkloadRequest[] = load,
  ): Promise<readonly string[]> {
    const { memoryIds } = await deliver(bank, requests, 'load');
    await requestConsolidation(bank);
    await settled(bank);
    return memoryIds;
  }

  const settled = (bank: string, withinMs = 30_000) =>
    vi.waitFor(
      async () => {
        const left = await leftToDo(db, bank);
        if (left.length > 0) throw new Error(`${bank} is not done: ${left.join(', ')}`);
      },
      { timeout: withinMs, interval: 50 },
    );

  async function seedBanks(count: number): Promise<void> {
    const fresh = Array.from({ length: count }, (_, index) => `bank-${seededBanks + index + 1}`);
    seededBanks += fresh.length;
    await Promise.all(
      fresh.map(async (bank) => {
        await deliver(bank, seed, 'seed');
        await requestConsolidation(bank);
      }),
    );
    for (const bank of fresh) await settled(bank);
    banks.push(...fresh);
  }

  await start();
  const db = home.connect();
  await seedBanks(options.banks ?? banksAtOnce);
  return {
    db,
    home,
    get daemon() {
      return current();
    },
    deaths,
    start,
    revive,
    deliver,
    requestConsolidation,
    askOnce,
    send: (method, path, body) => send(path, body, undefined, method).catch(() => null),
    consolidateInPeace,
    settled,
    async seededBank() {
      if (banks.length === 0) await seedBanks(banksAtOnce);
      return banks.shift() ?? '';
    },
    async close() {
      daemon?.kill('SIGKILL');
      await daemon?.exited;
      await home.remove();
    },
  };
}

/** Fails instead of hanging where a thing that is about to happen does not. */
export async function soon<T>(what: string, thing: Promise<T>, withinMs = 30_000): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`it did not ${what} within ${withinMs} ms`)), withinMs);
  try {
    return await Promise.race([thing, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Scores come in their own time. */
async function leftToDo(db: Database, bank: string): Promise<string[]> {
  const { rows } = await db.query<{ what: string; n: number }>(
    `select 'pending' as what, count(*)::int as n from engram.memories where bank_id = $1 and state = 'pending'
     union all select 'without a vector', count(*)::int from engram.memories where bank_id = $1 and embedding is null
     union all select 'to replan', count(*)::int from engram.observations where bank_id = $1 and needs_replan_at is not null
     union all select 'jobs: ' || string_agg(name || ' ' || state || ' ' || start_after - now(), ' '), count(*)::int
       from pgboss.job where singleton_key = $1 and state <= 'active' and name <> 'score'`,
    [bank],
  );
  return rows.filter((row) => row.n > 0).map((row) => `${row.n} ${row.what}`);
}
