import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { openDirectSession } from '../../src/db/direct-session.ts';
import { embeddedLayout } from '../../src/db/embedded/layout.ts';
import { findPostmaster, stopPostmaster } from '../../src/db/embedded/postmaster.ts';
import { tryHoldStore } from '../../src/db/store-lock.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { engramd } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase } from '../support/test-database.ts';
import { endAll, type LivingDaemon, scratch, startLiving } from './living-daemon.ts';

/* A database that is put back, by the commands that a person would say, and real processes around it. */
vi.setConfig({ testTimeout: 180_000, hookTimeout: 90_000 });

const dataDirs: string[] = [];
afterAll(async () => {
  await endAll();
  // What a test that failed has left.
  for (const dataDir of dataDirs) {
    const found = findPostmaster(embeddedLayout(dataDir).data);
    if (found.kind === 'ours') await stopPostmaster(found.process, { clock: systemClock, log: silentLog });
    removeScratchFolder(dataDir);
  }
});

async function json<T>(daemon: LivingDaemon, ...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await daemon.command(...args, '--json');
  if (code !== 0) throw new Error(`engramd ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

describe.concurrent('a restore', () => {
  it('of the embedded database: what came after the backup is gone, what was forgotten stays so, and the daemon serves it', async () => {
    const dataDir = createScratchFolder();
    dataDirs.push(dataDir);
    const before = await startLiving({}, { dataDir });
    const remember = (text: string) => json<{ memories: { id: string }[] }>(before, 'remember', text, '--bank', 'home');
    const [parrot] = (await remember('Ana keeps a zanzibar parrot')).memories;
    await remember('Ben drinks tea in the morning');
    expect(await json(before, 'backup', 'now')).toMatchObject({ outcome: 'verified' });
    await remember('Cy came after the backup');
    expect((await before.command('forget', parrot?.id ?? '', '--bank', 'home', '--yes')).code).toBe(0);

    const whileItLives = await before.command('backup', 'restore', '--replace');
    expect(whileItLives).toMatchObject({ code: 4, stderr: expect.stringContaining('Stop it first') });
    await before.stop();
    const without = await before.command('backup', 'restore');
    expect(without).toMatchObject({ code: 4, stderr: expect.stringContaining('--replace') });
    const restored = await json(before, 'backup', 'restore', '--replace');
    expect(restored).toMatchObject({ replaced: { banks: 1, memories: 2 }, erased_again: 1, epoch: 2 });

    const after = await startLiving({}, { dataDir });
    const found = await after.command('recall', 'who has tea or a parrot', '--bank', 'home', '--json');
    expect(found.stdout).toContain('Ben drinks tea');
    expect(found.stdout).not.toMatch(/parrot|Cy came/);
    // Its backups go on as those of the one store.
    expect((await after.command('backup', 'now')).code).toBe(0);
    expect((await after.stop()).code).toBe(0);
    expect(
      readFileSync(join(dataDir, 'backups', 'erasures.jsonl'), 'utf8')
        .trim()
        .split('\n'),
    ).toHaveLength(1);
  });

  it('keeps the real daemon from its start: exit 4, in one line, and nothing is left behind', async () => {
    const database = await createTestDatabase({ poolMax: 1 });
    const session = await openDirectSession({
      connectionString: database.connectionString,
      applicationName: 'engramd restore',
    });
    try {
      expect(await tryHoldStore(session)).toBe(true);
      const ended = await engramd(['run', '--data-dir', scratch(), '--http-port', '0'], {
        DATABASE_URL: database.connectionString,
      });
      expect(ended).toMatchObject({ code: 4, stdout: '' });
      expect(ended.stderr).toMatch(/^engramd: [^\n]*restore[^\n]*\n$/);
      const { rows } = await database.db.query('select from engram.instances');
      expect(rows).toEqual([]);
    } finally {
      await session.close();
      await database.drop();
    }
  });
});
