import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { createTestDatabase } from '../support/test-database.ts';
import { type DaemonExit, type DaemonProcess, startDaemon, urlOf } from './daemon-process.ts';
import type { DyingDaemonSettings } from './dying-daemon.ts';
import { seed, type WorkloadRequest } from './workload.ts';

export interface Delivery {
  readonly memoryIds: readonly string[];
  /** Requests whose answer was the one kept from a first time that nobody heard. */
  readonly replays: number;
}

/** A database, a data directory and the daemon on them: whatever dies is started again in the same place. */
export interface Lane {
  readonly db: Database;
  readonly dataDir: string;
  readonly databaseUrl: string;
  readonly daemon: DaemonProcess;
  /** Deaths that were followed by a new start, oldest first. */
  readonly deaths: readonly DaemonExit[];
  start(settings?: DyingDaemonSettings): Promise<DaemonProcess>;
  /** Waits for the daemon to die and starts another. */
  revive(): Promise<void>;
  /** As a client that does not give up: the same request with the same key, whoever answers it. */
  deliver(bank: string, requests: readonly WorkloadRequest[], label: string): Promise<Delivery>;
  requestConsolidation(bank: string): Promise<void>;
  /** Until nothing of the bank is left to do. */
  settled(bank: string): Promise<void>;
  /** A bank whose seed is consolidated. */
  seededBank(): Promise<string>;
  close(): Promise<void>;
}

const banksAtOnce = 8;

export async function createLane(options: { seeded?: boolean } = {}): Promise<Lane> {
  const database = await createTestDatabase({ poolMax: 3 });
  const dataDir = mkdtempSync(join(tmpdir(), `engramd-test-${process.pid}-`));
  const { db } = database;
  const deaths: DaemonExit[] = [];
  const banks: string[] = [];
  let seededBanks = 0;
  let daemon: DaemonProcess | undefined;

  function current(): DaemonProcess {
    if (!daemon) throw new Error('no daemon was started');
    return daemon;
  }

  async function start(settings: DyingDaemonSettings = {}): Promise<DaemonProcess> {
    daemon = startDaemon({ dataDir, databaseUrl: database.connectionString }, settings);
    await urlOf(daemon);
    return daemon;
  }

  async function revive(): Promise<void> {
    deaths.push(await soon('die', current().exited));
    await start();
  }

  async function post(path: string, body: unknown, key?: string): Promise<Response> {
    for (;;) {
      const url = await urlOf(current());
      let response: Response;
      try {
        response = await fetch(new URL(path, url), {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...(key !== undefined && { 'idempotency-key': key }) },
          body: JSON.stringify(body),
        });
        await response.clone().arrayBuffer();
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

  const settled = (bank: string) =>
    vi.waitFor(
      async () => {
        const left = await leftToDo(db, bank);
        if (left.length > 0) throw new Error(`${bank} is not done: ${left.join(', ')}`);
      },
      { timeout: 25_000, interval: 50 },
    );

  async function seedBanks(): Promise<void> {
    const fresh = Array.from({ length: banksAtOnce }, (_, index) => `bank-${seededBanks + index + 1}`);
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
  if (options.seeded ?? true) await seedBanks();
  return {
    db,
    dataDir,
    databaseUrl: database.connectionString,
    get daemon() {
      return current();
    },
    deaths,
    start,
    revive,
    deliver,
    requestConsolidation,
    settled,
    async seededBank() {
      if (banks.length === 0) await seedBanks();
      return banks.shift() ?? '';
    },
    async close() {
      daemon?.kill('SIGKILL');
      await daemon?.exited;
      await database.drop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Fails instead of hanging where a thing that is about to happen does not. */
export async function soon<T>(what: string, thing: Promise<T>, withinMs = 15_000): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`it did not ${what} within ${withinMs} ms`)), withinMs);
  try {
    return await Promise.race([thing, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function leftToDo(db: Database, bank: string): Promise<string[]> {
  const { rows } = await db.query<{ what: string; n: number }>(
    `select 'pending' as what, count(*)::int as n from engram.memories where bank_id = $1 and state = 'pending'
     union all select 'without a vector', count(*)::int from engram.memories where bank_id = $1 and embedding is null
     union all select 'to replan', count(*)::int from engram.observations where bank_id = $1 and needs_replan_at is not null
     union all select 'jobs: ' || string_agg(name || ' ' || state || ' ' || start_after - now(), ' '), count(*)::int
       from pgboss.job where singleton_key = $1 and state <= 'active'`,
    [bank],
  );
  return rows.filter((row) => row.n > 0).map((row) => `${row.n} ${row.what}`);
}
