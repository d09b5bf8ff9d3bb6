import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { engramd } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

// A command is a process or two, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 });

const folder = createScratchFolder();
const dataDir = join(folder, 'nobody');
let database: TestDatabase;
beforeAll(async () => {
  mkdirSync(dataDir);
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
  removeScratchFolder(folder);
});

const run = (...args: readonly string[]) =>
  engramd([...args, '--data-dir', dataDir], { DATABASE_URL: database.connectionString }, '');

async function remember(text: string): Promise<string> {
  const ended = await run('remember', text, '--json');
  const { memories } = JSON.parse(ended.stdout) as { memories: { id: string }[] };
  return memories[0]?.id ?? '';
}

it('invalidates a memory, forgets one only when told to twice, and decides nothing again that was decided alike', async () => {
  const tea = await remember('Ana drinks tea.');
  const milk = await remember('Ben drinks milk.');
  expect((await run('consolidate', '--wait')).code).toBe(0);

  const invalidated = await run('invalidate', tea);
  expect(invalidated).toMatchObject({ code: 0 });
  expect(invalidated.stdout).toContain(`${tea} is invalid\n`);
  expect(invalidated.stdout).toContain('will be retired: nothing else speaks for it  Ana drinks tea.');

  const refused = await run('forget', milk);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain('--yes');
  const forgotten = await run('forget', milk, '--yes');
  expect(forgotten).toMatchObject({ code: 0 });
  expect(forgotten.stdout).toContain(`forgot ${milk}\nobservations: 1 deleted, 0 said again`);
  expect(forgotten.stdout).toContain('no backup of engramd holds it');
  expect((await run('forget', milk, '--yes')).code).toBe(1);

  await database.db.query(`update engram.store set restored_at = '2026-03-05T10:00:00Z'`);
  const restored = await run('forget', await remember('Cy drinks cocoa.'), '--yes');
  expect(restored.stdout).toContain(
    'backups may hold it until about 2026-03-19, and those that another database took before the restore of 2026-03-05 until somebody removes them',
  );

  const again = await run('consolidate', '--again', '--held', '--wait');
  expect(again.code).toBe(0);
  expect(again.stdout).toContain('no memory was decided by another decider');
  expect(again.stdout).toContain('0 held memories');
  expect((await run('consolidate', '--again', '--dry-run')).code).toBe(2);
});
