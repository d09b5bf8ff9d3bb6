import { expect, test } from 'vitest';
import type { Hit } from '../../src/recall/fuse.ts';
import { estimateTokens, selectItems } from '../../src/recall/select-items.ts';

const memory = (id: string): Hit => ({ target: 'memories', id });
const observation = (id: string): Hit => ({ target: 'observations', id });
const tokens: Record<string, number> = { big: 1000, small: 10, small2: 10, o: 10, bigO: 1000, cited: 10 };

function select(hits: readonly Hit[], maxTokens: number | undefined, limit = 10): string {
  const covers = new Map([
    ['cited', [{ rootId: 'o', by: 'citation' as const }]],
    ['of-big', [{ rootId: 'bigO', by: 'citation' as const }]],
  ]);
  return selectItems(hits, { limit, maxTokens, covers, tokensOf: (hit) => tokens[hit.id] ?? 10 })
    .map((hit) => hit.id)
    .join(' ');
}

test('a first item over the budget is passed over, and the list goes on', () => {
  expect(select([memory('big'), memory('small'), memory('big'), memory('small2')], 20)).toBe('small small2');
  expect(select([memory('small'), memory('small2'), memory('x')], 20)).toBe('small small2');
  expect(select([memory('big')], 20)).toBe('');
  expect(select([memory('big'), memory('small')], undefined)).toBe('big small');
});

test('a memory that an item before it cites is not returned again', () => {
  expect(select([observation('o'), memory('cited'), memory('x')], undefined)).toBe('o x');
  expect(select([memory('cited'), observation('o')], undefined)).toBe('cited o');
});

test('a memory whose observation did not fit is still returned', () => {
  expect(select([observation('bigO'), memory('of-big')], 20)).toBe('of-big');
});

test('the limit counts what is returned', () => {
  expect(select([observation('o'), memory('cited'), memory('x'), memory('y')], undefined, 2)).toBe('o x');
});

test('a token is four characters, begun ones count', () => {
  expect([0, 1, 4, 5].map(estimateTokens)).toEqual([0, 1, 1, 2]);
});
