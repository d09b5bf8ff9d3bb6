import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { consumeWakeSignal, writeWakeSignal } from '../../../src/daemon/life/wake-signal.ts';
import { createScratchFolder, removeScratchFolder } from '../../support/scratch-folder.ts';

const folder = createScratchFolder();
const path = join(folder, 'wake.signal');
const now = new Date('2026-03-04T09:00:00Z');
beforeEach(() => void consumeWakeSignal(folder));
afterAll(() => removeScratchFolder(folder));

test('is read once, by whoever starts next', () => {
  writeWakeSignal(folder, { by: 'engramd wake', now });
  writeWakeSignal(folder, { by: 'engramd wake again', now });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(consumeWakeSignal(folder)).toEqual({ by: 'engramd wake again', at: now });
  expect(consumeWakeSignal(folder)).toBeUndefined();
  expect(readdirSync(folder)).toEqual([]);
});

test.each([
  ['cut short', '{"by": "eng'],
  ['empty', ''],
  ['of another shape', '{"by": 7, "at": "yesterday"}'],
  ['noise', '\u0000\ufffd'],
])('that is %s is a signal all the same', (_, text) => {
  writeFileSync(path, text);
  expect(consumeWakeSignal(folder)).toEqual({ by: null, at: null });
  expect(consumeWakeSignal(folder)).toBeUndefined();
});

test('that is a folder is a signal all the same', () => {
  mkdirSync(join(path, 'inside'), { recursive: true });
  expect(consumeWakeSignal(folder)).toEqual({ by: null, at: null });
  expect(consumeWakeSignal(folder)).toBeUndefined();
});
