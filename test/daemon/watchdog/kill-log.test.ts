import { appendFileSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { reasonOfDeath } from '../../../src/daemon/exit-reasons.ts';
import { appendKill, type KillRecord, killLogPath, readKillLog } from '../../../src/daemon/watchdog/kill-log.ts';
import { createScratchFolder, removeScratchFolder } from '../../support/scratch-folder.ts';

const parent = createScratchFolder();
afterAll(() => removeScratchFolder(parent));
const freshDir = () => mkdtempSync(join(parent, 'data-'));

function record(changes: Partial<KillRecord> = {}): KillRecord {
  return {
    at: new Date('2026-03-02T12:00:00.000Z'),
    pid: 4711,
    instanceId: 'a',
    strikes: 3,
    reason: 'no answer',
    stack: ['spin file:///x.ts:3'],
    killed: true,
    ...changes,
  };
}

it('keeps one line a kill, for the owner only', () => {
  const dataDir = freshDir();
  const path = killLogPath(dataDir);
  writeFileSync(path, '', { mode: 0o644 });
  appendKill(path, record());
  appendKill(path, record({ instanceId: 'b', stack: null, killed: false }));
  expect(readKillLog(path)).toEqual([record(), record({ instanceId: 'b', stack: null, killed: false })]);
  expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(3);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

it('keeps the last hundred', () => {
  const dataDir = freshDir();
  const path = killLogPath(dataDir);
  for (let strikes = 1; strikes <= 103; strikes++) appendKill(path, record({ strikes }));
  expect(readKillLog(path).map(({ strikes }) => strikes)).toEqual(Array.from({ length: 100 }, (_, at) => at + 4));
  expect(readdirSync(dataDir)).toEqual(['watchdog.log']);
});

it.each([
  ['half a line of one that was killed while it wrote', '{"at":"2026-03-02T12:0'],
  [
    'what is not ours',
    'hello\n{}\n[]\nnull\n{"at":"never","pid":1,"instanceId":"x","strikes":1,"reason":"","stack":null,"killed":true}\n',
  ],
])('reads over %s and writes on', (_, text) => {
  const path = killLogPath(freshDir());
  appendKill(path, record());
  appendFileSync(path, text);
  appendKill(path, record({ instanceId: 'b' }));
  expect(readKillLog(path).map(({ instanceId }) => instanceId)).toEqual(['a', 'b']);
});

it('starts anew over a file too large to be its own', () => {
  const path = killLogPath(freshDir());
  writeFileSync(path, `${'x'.repeat(5 * 2 ** 20)}\n${JSON.stringify(record())}\n`);
  expect(readKillLog(path)).toEqual([]);
  appendKill(path, record());
  expect(readKillLog(path)).toEqual([record()]);
});

it('tells why an instance died, from the last that was said of it', () => {
  const dataDir = freshDir();
  expect(reasonOfDeath(dataDir, 'a')).toBeNull();
  const path = killLogPath(dataDir);
  appendKill(path, record({ reason: 'needs an operator', killed: false }));
  appendKill(path, record());
  appendKill(path, record({ instanceId: 'b', reason: 'it does not tick', killed: false }));
  expect(reasonOfDeath(dataDir, 'a')).toBe('killed by its watchdog: no answer');
  expect(reasonOfDeath(dataDir, 'b')).toBe('died without a stop, after its watchdog had said: it does not tick');
  expect(reasonOfDeath(dataDir, 'c')).toBeNull();
});
