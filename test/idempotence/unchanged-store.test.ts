import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { engramd, type RunningDaemon, startDaemon } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createScriptedModel, type ScriptedModel } from '../support/scripted-model.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

/* The real daemon with a scripted model: what it has done once it neither pays for nor changes again. */

const sampleBank = fileURLToPath(new URL('../../src/cli/demo/sample-bank.jsonl', import.meta.url));
let database: TestDatabase;
let model: ScriptedModel;
let daemon: RunningDaemon;
let dataDir: string;

beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 2 });
  model = await createScriptedModel();
  dataDir = createScratchFolder();
  daemon = await startDaemon(dataDir, {
    DATABASE_URL: database.connectionString,
    OPENAI_BASE_URL: model.baseUrl,
    ENGRAMD_BUDGET_USD_PER_DAY: '100',
  });
});
afterAll(async () => {
  daemon.child.kill('SIGTERM');
  await daemon.ended;
  await model.close();
  await database.drop();
  removeScratchFolder(dataDir);
});

async function run(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await engramd([...args, '--json', '--data-dir', dataDir]);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Everything that a repetition could have changed, to the row. */
async function contents(): Promise<unknown> {
  const { rows } = await database.db.query(
    `select
       (select jsonb_agg(to_jsonb(m) order by m.id) from engram.memories m) as memories,
       (select jsonb_agg(to_jsonb(o) order by o.id) from engram.observations o) as observations,
       (select jsonb_agg(to_jsonb(l) order by l.observation_id, l.memory_id) from engram.observation_sources l) as links,
       (select count(*)::int from engram.change_sets) as sets,
       (select count(*)::int from engram.change_ops) as ops,
       (select count(*)::int from engram.events) as events`,
  );
  return rows[0];
}

test('the same file again, and every memory again, over an unchanged store: no call, no change', {
  timeout: 60_000,
}, async () => {
  await run('ingest', sampleBank);
  await run('consolidate', '--wait');
  expect(model.count.chat).toBeGreaterThan(10);
  expect(model.count.embed).toBeGreaterThan(0);
  const before = await contents();
  model.reset();

  expect(await run('ingest', sampleBank)).toMatchObject({ added: 0, duplicates: 165 });
  await run('consolidate', '--wait');
  expect(model.count).toEqual({ chat: 0, embed: 0 });
  expect(await contents()).toEqual(before);

  await run('consolidate', '--again', '--wait');
  expect(model.count).toEqual({ chat: 0, embed: 0 });
  expect(await contents()).toEqual(before);
});
