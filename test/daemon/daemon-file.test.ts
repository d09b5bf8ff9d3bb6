import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readDaemonFile, removeDaemonFile, writeDaemonFile } from '../../src/daemon/daemon-file.ts';

const content = {
  url: 'http://127.0.0.1:7766',
  pid: 4711,
  instanceId: '0198c1f0-0000-7000-8000-000000000001',
  version: '0.1.0',
  startedAt: '2026-03-02T07:58:00.000Z',
};
const parent = mkdtempSync(join(tmpdir(), 'engramd-daemon-file-'));
afterAll(() => rmSync(parent, { recursive: true }));
const freshDir = () => mkdtempSync(join(parent, 'data-'));

it('is read as it was written, for the owner only, with nothing beside it', async () => {
  const dataDir = freshDir();
  // Left by a process that was killed between write and rename.
  writeFileSync(join(dataDir, 'daemon.json.4711.part'), '{');
  await writeDaemonFile(dataDir, content);
  expect(readDaemonFile(dataDir)).toEqual(content);
  expect(statSync(join(dataDir, 'daemon.json')).mode & 0o777).toBe(0o600);
  expect(readdirSync(dataDir)).toEqual(['daemon.json']);
});

it('replaces that of a daemon that died, and never removes that of another', async () => {
  const dataDir = freshDir();
  await writeDaemonFile(dataDir, content);
  const next = { ...content, instanceId: '0198c1f0-0000-7000-8000-000000000002' };
  await writeDaemonFile(dataDir, next);
  await removeDaemonFile(dataDir, content.instanceId);
  expect(readDaemonFile(dataDir)).toEqual(next);
  await removeDaemonFile(dataDir, next.instanceId);
  expect(readDaemonFile(dataDir)).toBeUndefined();
});

it.each(['', '{', '[]', '{"url":"not a url"}', JSON.stringify({ ...content, pid: -1 })])(
  'takes %j for no daemon',
  (text) => {
    const dataDir = freshDir();
    writeFileSync(join(dataDir, 'daemon.json'), text);
    expect(readDaemonFile(dataDir)).toBeUndefined();
    expect(readFileSync(join(dataDir, 'daemon.json'), 'utf8')).toBe(text);
  },
);
