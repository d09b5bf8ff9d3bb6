import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { engramd, type RunningDaemon, startDaemon } from '../support/engramd-process.ts';
import { wordVector } from '../support/fake-embedder.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import type { ScriptedRequest } from '../support/scripted-model/reply.ts';
import { createScriptedModel, type ScriptedModel } from '../support/scripted-model.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

// Processes, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

/** Real daemons on one database change from one model of an endpoint to another; one of them is killed on the way. */

const folder = createScratchFolder();
let server: ScriptedModel;
let database: TestDatabase;
const daemons: RunningDaemon[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  server = await createScriptedModel();
});
afterEach(async () => {
  for (const { child } of daemons) child.kill('SIGKILL');
  await Promise.all(daemons.map(({ ended }) => ended));
});
afterAll(async () => {
  await server.close();
  await database.drop();
  removeScratchFolder(folder);
});

const env = () => ({
  DATABASE_URL: database.connectionString,
  ENGRAMD_DECIDER: 'rules',
  ENGRAMD_EMBEDDING_BASE_URL: server.baseUrl,
  ENGRAMD_EMBEDDING_MODEL: 'one',
});

async function start(name: string): Promise<RunningDaemon> {
  const dataDir = join(folder, name);
  mkdirSync(dataDir, { recursive: true });
  const daemon = await startDaemon(dataDir, env());
  daemons.push(daemon);
  return daemon;
}

const inputs = (request: ScriptedRequest) => request.body.input as string[];
const command = (name: string, ...args: string[]) => engramd([...args, '--data-dir', join(folder, name)], env());

async function request<T>(daemon: RunningDaemon, method: string, path: string, body?: object): Promise<T> {
  const response = await fetch(`${daemon.file.url}${path}`, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  return (await response.json()) as T;
}

const models = async () => {
  const { rows } = await database.db.query<{ model: string | null; n: number }>(
    'select embedding_model as model, count(*)::int as n from engram.memories group by 1',
  );
  return rows;
};

test('a switch outlives the daemon that began it, and every daemon follows it', async () => {
  // The second model makes shorter vectors, and hangs once it has made some: that is where the daemon is killed.
  let hangs = true;
  let made = 0;
  server.onEmbed = (asked) => {
    if (asked.model === 'two' && hangs && made > 0 && inputs(asked).length > 1) return { kind: 'hang' };
    if (asked.model === 'two' && inputs(asked).length > 1) made += inputs(asked).length;
    const length = asked.model === 'two' ? 64 : 512;
    return { kind: 'vectors', vectors: inputs(asked).map((text) => wordVector(text, length)) };
  };
  const first = await start('first');
  await request(
    first,
    'POST',
    '/v1/banks/b/memories',
    Array.from({ length: 100 }, (_, at) => ({ text: `zebra number ${at}` })),
  );
  await vi.waitFor(async () => expect(await models()).toEqual([{ model: 'openai/one', n: 100 }]), { timeout: 30_000 });

  const refused = await command('first', 'embeddings', 'switch', '--model', 'two');
  expect(refused).toMatchObject({ code: 2 });
  expect(refused.stderr).toMatch(
    /openai\/one → openai\/two: \d+ texts, about [\d,]+ tokens, the price of openai\/two is not known/,
  );
  const started = await command('first', 'embeddings', 'switch', '--model', 'two', '--yes');
  expect(started).toMatchObject({ code: 0, stdout: expect.stringContaining('started') });
  await vi.waitFor(() => expect(made).toBe(64), { timeout: 30_000 });
  first.child.kill('SIGKILL');
  await first.ended;
  const { rows } = await database.db.query<{ row_id: string }>('select row_id from engram.next_embeddings');
  expect(rows).toHaveLength(64);

  hangs = false;
  const [second, other] = [await start('first'), await start('other')];
  await vi.waitFor(async () => expect(await models()).toEqual([{ model: 'openai/two', n: 100 }]), { timeout: 60_000 });

  for (const daemon of [second, other]) {
    const found = await request<{ items: unknown[]; degraded: string | null }>(daemon, 'POST', '/v1/banks/b/recall', {
      query: 'zebra number 7',
    });
    expect(found).toMatchObject({ degraded: null });
    expect(await request(daemon, 'GET', '/v1/embeddings')).toMatchObject({
      model: 'openai/two',
      dimensions: 64,
      switch: null,
    });
  }
  const status = await command('other', 'embeddings', 'status');
  expect(status.stdout).toContain('openai/two');
  expect(status.stdout).toContain('openai/one: engramd embeddings switch changes to it');
});
