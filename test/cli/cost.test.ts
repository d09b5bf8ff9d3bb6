import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { localDay } from '../../src/models/local-day.ts';
import { reserveCall, settleCall } from '../../src/store/model-calls.ts';
import { engramd } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

vi.setConfig({ testTimeout: 120_000 });

const folder = createScratchFolder();
const dataDir = join(folder, 'data');
let database: TestDatabase;
beforeAll(async () => {
  mkdirSync(dataDir);
  database = await createTestDatabase();
  const limits = { nanoUsd: 1e12, tokens: null, unpricedTokens: 1e9 };
  for (const [n, model] of ['gpt-5-mini', 'llama'].entries()) {
    const id = `0198c1f0-0000-7000-8000-00000000000${n}`;
    const requestHash = Buffer.from(model);
    const isPriced = model !== 'llama';
    const spent = { nanoUsd: isPriced ? 12_345_678 : 0, tokens: 2000, unpricedTokens: isPriced ? 0 : 2000 };
    await reserveCall(
      database.db,
      'studio',
      {
        id,
        day: localDay(new Date()),
        instanceId: id,
        endpoint: 'http://x/v1',
        model,
        purpose: 'consolidate',
        requestHash,
        memories: 5,
        promptBytes: 9000,
        most: spent,
        probeId: null,
      },
      limits,
    );
    const usage = { promptTokens: 1500, cachedTokens: 0, outputTokens: 500 };
    const end = { outcome: 'ok', latencyMs: 10, spent, usage, answerJson: null, requestHash, subjectIds: [] };
    await settleCall(database.db, 'studio', { id, ...end });
    await database.db.query('update engram.model_calls set consolidated = 5 where id = $1', [id]);
  }
});
afterAll(async () => {
  await database.drop();
  removeScratchFolder(folder);
});

const run = (args: readonly string[], env: Record<string, string> = {}) =>
  engramd([...args, '--data-dir', dataDir], { DATABASE_URL: database.connectionString, ...env });

it('cost prints what was spent, for each 1,000 memories too, and the forecast', async () => {
  const ended = await run(['cost', '--by', 'model']);
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  expect(ended.stdout.split('\n')).toEqual([
    'model       calls  tokens  dollars  a 1,000 memories',
    'gpt-5-mini  1      2,000   $0.0123  $2.47',
    'llama       1      2,000   unknown',
    'total       2      4,000   $0.0123  $1.23',
    '2,000 of the tokens are of models whose price is not known',
    'nothing is due',
    '',
  ]);
});

it('cost of nothing says so, in JSON too', async () => {
  expect((await run(['cost', '--bank', 'nobody'])).stdout).toMatch(
    /^no calls of models from \S+ to \S+\nnothing is due\n$/,
  );
  const ended = await run(['cost', '--bank', 'studio', '--by', 'purpose', '--days', '1', '--json']);
  expect(JSON.parse(ended.stdout)).toMatchObject({ rows: [{ key: 'consolidate', calls: 2, memories: 10 }] });
});

it('a prices file that cannot be used is exit 2 and names the variable', async () => {
  const path = join(folder, 'prices.json');
  writeFileSync(path, '{"gpt-5-mini": {"input": "cheap", "output": 1}}');
  const ended = await run(['cost'], { ENGRAMD_PRICES_FILE: path });
  expect(ended.code).toBe(2);
  expect(ended.stderr).toContain('ENGRAMD_PRICES_FILE');
  expect(ended.stderr).toContain('gpt-5-mini.input');
});
