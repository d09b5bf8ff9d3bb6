import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Bank, ChangeSet, RecallResult, Status, WriteResult } from '../../src/cli/api-types.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { type Composition, compose } from '../../src/daemon/compose.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { startPgvector } from '../support/pgvector-server.ts';

/*
 * The whole main job on PostgreSQL 17 with pgvector, with nothing of ours replaced: HTTP, queue, local embedder, rules. As
 * a role with no more rights than our own messages ask for.
 */

const start = await startPgvector();
if (start.kind === 'unavailable') console.warn(`skipped: pgvector runs in a container, and ${start.reason}`);
const server = start.kind === 'started' ? start.server : undefined;
afterAll(() => server?.stop());

async function asSuperuser<T>(database: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: urlOf(database) });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

function urlOf(database: string, role?: string): string {
  if (!server) throw new Error('no server');
  const url = new URL(server.connectionString);
  url.pathname = `/${database}`;
  if (role !== undefined) {
    url.username = role;
    url.password = role;
  }
  return url.href;
}

const folders: string[] = [];
const running: Composition[] = [];

async function startDaemon(databaseUrl: string): Promise<Composition> {
  const dataDir = mkdtempSync(join(tmpdir(), `engramd-test-${process.pid}-`));
  folders.push(dataDir);
  const { config } = loadConfig({
    env: { DATABASE_URL: databaseUrl, ENGRAMD_DATA_DIR: dataDir, ENGRAMD_HTTP_PORT: '0' },
  });
  const daemon = await compose({ config, mode: 'daemon', log: silentLog, clock: systemClock });
  running.push(daemon);
  return daemon;
}

async function stopAll(): Promise<void> {
  for (const daemon of running.splice(0)) await daemon.stop('test over');
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

async function call<T>(daemon: Composition, method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
  const response = await fetch(new URL(path, daemon.url), {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer as T;
}

describe.skipIf(!server)('PostgreSQL 17 with pgvector', () => {
  beforeAll(async () => {
    await asSuperuser('postgres', `create role agent login password 'agent'`);
    await asSuperuser('postgres', 'create database bare');
    await asSuperuser('postgres', 'create database granted');
    await asSuperuser('postgres', 'grant create on database granted to agent');
  });
  afterEach(stopAll);

  test('a role that may not create anything is told which right it lacks, and how to grant it', async () => {
    await expect(startDaemon(urlOf('bare', 'agent'))).rejects.toMatchObject({
      code: 'DATABASE_PRIVILEGE',
      exitCode: 2,
      message: expect.stringMatching(/permission denied for database bare.*GRANT CREATE ON DATABASE/),
    });
    expect(await asSuperuser('bare', `select nspname from pg_namespace where nspname in ('engram', 'pgboss')`)).toEqual(
      [],
    );
  });

  test('a role that may not install the extension does without, until somebody has', async () => {
    const vectorsOf = async (daemon: Composition) => (await call<Status>(daemon, 'GET', '/v1/status')).vectors;
    expect(await vectorsOf(await startDaemon(urlOf('granted', 'agent')))).toBe('exact');
    await stopAll();
    await asSuperuser('granted', 'create extension vector');
    expect(await vectorsOf(await startDaemon(urlOf('granted', 'agent')))).toBe('pgvector');
  });

  test('ingest, embed, consolidate, recall', async () => {
    const daemon = await startDaemon(urlOf('granted', 'agent'));
    const status = await call<Status>(daemon, 'GET', '/v1/status');
    expect(status).toMatchObject({ condition: 'ready', vectors: 'pgvector', embedding: { dimensions: 512 } });

    const written = await call<WriteResult>(daemon, 'POST', '/v1/banks/office/memories', [
      { text: 'Ana works from the Lisbon office.', mentioned_at: '2026-01-03T09:00:00Z' },
      { text: 'The printer on the second floor is out of toner.', mentioned_at: '2026-01-04T09:00:00Z' },
      { text: 'ana works from the lisbon office', mentioned_at: '2026-01-09T09:00:00Z' },
      { text: 'Pavel prefers meetings in the morning.', mentioned_at: '2026-01-05T09:00:00Z' },
      { text: 'The staging server listens on port 8443.', mentioned_at: '2026-01-06T09:00:00Z' },
      { text: 'Pavel prefers meetings in the afternoon.', mentioned_at: '2026-02-04T09:00:00Z' },
    ]);
    expect(written).toMatchObject({ added: 6, duplicates: 0 });
    await call(daemon, 'POST', '/v1/banks/office/consolidations', {});
    const bank = await vi.waitFor(
      async () => {
        const state = await call<Bank>(daemon, 'GET', '/v1/banks/office');
        expect(state).toMatchObject({ due: 0, unembedded: 0, memories: { pending: 0 } });
        return state;
      },
      { timeout: 60_000, interval: 100 },
    );
    expect(bank.memories.consolidated).toBe(6);
    expect(bank.observations).toMatchObject({ live: 4, superseded: 1 });

    const { changes } = await call<{ changes: ChangeSet[] }>(daemon, 'GET', '/v1/banks/office/changes?status=applied');
    expect(changes).toMatchObject([{ ops: { create: 4, reinforce: 1, supersede: 1 } }]);

    const ask = (from: Composition, query: string, only?: 'observations') =>
      call<RecallResult>(from, 'POST', '/v1/banks/office/recall', { query, limit: 5, ...(only && { only }) });
    const where = await ask(daemon, 'In which city is Ana?');
    expect(where.degraded).toBeNull();
    expect(where.items.slice(0, 2).map(({ text }) => text.toLowerCase())).toContain(
      'ana works from the lisbon office.',
    );
    const known = await ask(daemon, 'In which city is Ana?', 'observations');
    expect(known.items[0]).toMatchObject({ text: 'Ana works from the Lisbon office.', evidence: 2 });
    const meeting = (await ask(daemon, 'When does Pavel like to meet?', 'observations')).items.map(({ text }) => text);
    expect(meeting[0]).toBe('Pavel prefers meetings in the afternoon.');
    expect(meeting).not.toContain('Pavel prefers meetings in the morning.');

    expect(
      await asSuperuser(
        'granted',
        `select e.extname, i.relname is not null as indexed
         from pg_extension e
         left join lateral (select c.relname from pg_class c join pg_am a on a.oid = c.relam
           where a.amname = 'hnsw' and c.relnamespace = 'engram'::regnamespace limit 1) as i on true
         where e.extname = 'vector'`,
      ),
    ).toEqual([{ extname: 'vector', indexed: true }]);

    // Another daemon on the same database finds it all.
    await stopAll();
    const next = await startDaemon(urlOf('granted', 'agent'));
    const again = await ask(next, 'In which city is Ana?');
    expect(again.items.map(({ id }) => id)).toEqual(where.items.map(({ id }) => id));
  });
});
