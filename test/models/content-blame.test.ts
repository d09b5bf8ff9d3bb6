import { expect, it } from 'vitest';
import { createContentBlame } from '../../src/models/content-blame.ts';

function blameAt() {
  const time = { ms: 0 };
  return { time, blame: createContentBlame(() => time.ms) };
}

it('is of what failed where something else was answered since it was sent', () => {
  const { time, blame } = blameAt();
  time.ms = 10;
  blame.answered(['other']);
  expect(blame.failed('poison', 5)).toBe('content');
  expect(blame.failed('poison', 20)).toBe('model');
});

it('is of what failed where something else was answered since it failed before, once for each time', () => {
  const { time, blame } = blameAt();
  expect(blame.failed('poison', 1)).toBe('model');
  time.ms = 10;
  blame.answered(['other']);
  expect(blame.failed('poison', 20)).toBe('content');
  expect(blame.failed('poison', 30)).toBe('model');
});

it('is of the model at the third different failure with nothing usable between', () => {
  const { blame } = blameAt();
  expect(['a', 'a', 'b', 'b', 'c', 'd'].map((about) => blame.failed(about, 1))).toEqual([
    ...['model', 'model', 'model', 'model', 'unfit', 'model'],
  ]);
  blame.answered([]);
  expect(['a', 'b'].map((about) => blame.failed(about, 1))).toEqual(['content', 'content']);
});

it('forgets the oldest failures rather than to grow for ever', () => {
  const { time, blame } = blameAt();
  blame.failed('first', 1);
  for (let n = 0; n < 10_000; n += 1) blame.failed(`memory ${n}`, 1);
  time.ms = 10;
  blame.answered([]);
  expect(blame.failed('first', 20)).not.toBe('content');
  expect(blame.failed('memory 9999', 20)).toBe('content');
});
