import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DataDirNotWritableError, prepareDataDir } from '../../src/daemon/data-dir.ts';

let parent: string;
let umask: number;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'engramd-data-dir-'));
  umask = process.umask();
});
afterEach(() => {
  process.umask(umask);
  process.seteuid?.(process.getuid?.() ?? 0);
  rmSync(parent, { recursive: true, force: true });
});

const modeOf = (path: string) => statSync(path).mode & 0o777;

test('is made with its parents, for its owner alone, and left empty', () => {
  const folder = prepareDataDir(join(parent, 'a', 'b', '..', 'c'), false);
  expect(folder).toBe(join(parent, 'a', 'c'));
  expect(modeOf(folder)).toBe(0o700);
  expect(readdirSync(folder)).toEqual([]);
});

test('made by root, lets the database server’s user through, whatever the umask', () => {
  process.umask(0o077);
  const folder = prepareDataDir(join(parent, 'var', 'lib', 'engramd'), true);
  expect(modeOf(folder)).toBe(0o711);
  expect(modeOf(join(parent, 'var'))).toBe(0o711);
});

test('gets its mode if it is an empty volume or has been used before', () => {
  chmodSync(parent, 0o755);
  prepareDataDir(parent, false);
  expect(modeOf(parent)).toBe(0o700);
  mkdirSync(join(parent, 'lock'));
  chmodSync(parent, 0o755);
  prepareDataDir(parent, true);
  expect(modeOf(parent)).toBe(0o711);
});

test('keeps its mode if it is somebody else’s folder', () => {
  writeFileSync(join(parent, 'notes.txt'), '');
  chmodSync(parent, 0o777);
  prepareDataDir(parent, true);
  expect(modeOf(parent)).toBe(0o777);
});

test('that is a file, or below one, is refused with the reason and the way out', () => {
  const file = join(parent, 'file');
  writeFileSync(file, '');
  for (const [path, reason] of [
    [file, 'it is not a directory'],
    [join(file, 'below'), 'a part of the path is not a directory'],
  ] as const) {
    expect(() => prepareDataDir(path)).toThrow(DataDirNotWritableError);
    expect(() => prepareDataDir(path)).toThrow(
      `the data directory ${path} cannot be used: ${reason} (ENGRAMD_DATA_DIR sets another)`,
    );
  }
});

test('that this user may not write to is refused', () => {
  writeFileSync(join(parent, 'notes.txt'), '');
  chmodSync(parent, 0o555);
  // Root may write anywhere: be somebody else for the moment.
  if (process.getuid?.() === 0) process.seteuid?.(65_534);
  const failure = (() => {
    try {
      return prepareDataDir(parent, false);
    } catch (thrown) {
      return thrown;
    }
  })();
  process.seteuid?.(process.getuid?.() ?? 0);
  chmodSync(parent, 0o700);
  expect(failure).toBeInstanceOf(DataDirNotWritableError);
  expect(failure).toMatchObject({ exitCode: 2, message: expect.stringContaining('this user may not write there') });
});

test.runIf(process.platform === 'linux')('below a folder that takes none is refused, and not tried for ever', () => {
  // A guard that fails spins without an end; the runner then kills this worker.
  expect(() => prepareDataDir('/proc/engramd/state')).toThrow(DataDirNotWritableError);
});
