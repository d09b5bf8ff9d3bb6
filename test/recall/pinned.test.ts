import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRecallFixture, label, type RecallFixture } from './recall-fixture.ts';

let fixture: RecallFixture;
let ids: readonly string[];
beforeAll(async () => {
  fixture = await createRecallFixture();
  ids = await fixture.remember(
    { text: 'Ana is allergic to nuts', tags: ['health', 'ana'] },
    { text: 'The spare key is under the pot', tags: ['home'] },
    'Ben flies a red kite',
    'Cy flies a blue kite',
    'Di was here',
  );
  const [nuts = '', key = '', red = '', , gone = ''] = ids;
  await fixture.observe('Ben has a kite', [red]);
  for (const [id, pinnedAt] of [
    [key, '2026-01-03'],
    [nuts, '2026-01-01'],
    [red, '2026-01-02'],
    [gone, '2026-01-04'],
  ]) {
    await fixture.db.query("update engram.memories set pin = 'auto', pinned_at = $2 where id = $1", [id, pinnedAt]);
  }
  await fixture.db.query('update engram.memories set invalidated_at = now() where id = $1', [gone]);
});
afterAll(() => fixture.close());

const [nuts, key, red] = ['m: Ana is allergic to nuts', 'm: The spare key is under the pot', 'm: Ben flies a red kite'];

describe('what is pinned', () => {
  test('comes first on request, newest pins ahead, then what was found, each once', async () => {
    const items = await fixture.texts('a blue kite', { pinnedFirst: true });
    expect(items.slice(0, 3)).toEqual([key, red, nuts]);
    expect(items.slice(3).toSorted()).toEqual(['m: Cy flies a blue kite', 'o: Ben has a kite']);
  });

  test('says so, and does also where it is only found', async () => {
    const { items } = await fixture.recall('kite', { only: 'memories' });
    const pins = items.map((item) => [label(item), item.type === 'memory' && item.memory.pin]);
    expect(Object.fromEntries(pins)).toEqual({ [red]: 'auto', 'm: Cy flies a blue kite': null });
  });

  test('counts in the limit', async () => {
    expect(await fixture.texts('a blue kite', { pinnedFirst: true, limit: 2 })).toEqual([key, red]);
    const four = await fixture.texts('a blue kite', { pinnedFirst: true, limit: 4 });
    expect(four).toEqual([key, red, nuts, 'm: Cy flies a blue kite']);
  });

  test('counts in the tokens: what does not fit makes way for what does', async () => {
    // 8, 5 and 6 tokens; the blue kite has 5.
    const { items, tokens } = await fixture.recall('a blue kite', { pinnedFirst: true, maxTokens: 11 });
    expect(items.map(label)).toEqual([key]);
    expect(tokens).toBeLessThanOrEqual(11);
    const less = await fixture.recall('a blue kite', { pinnedFirst: true, maxTokens: 7, only: 'memories' });
    expect(less.items.map(label)).toEqual([red]);
  });

  test('comes only with the tags that were asked for', async () => {
    expect(await fixture.texts('kite', { pinnedFirst: true, tags: ['ana'] })).toEqual([nuts]);
    expect(await fixture.texts('kite', { pinnedFirst: true, tags: ['nobody'] })).toEqual([]);
  });

  test('is no memory that nobody believes any more, and none of another bank', async () => {
    expect(await fixture.texts('Di', { pinnedFirst: true })).not.toContain('m: Di was here');
    expect(await fixture.texts('key', { pinnedFirst: true, bankId: 'another' })).toEqual([]);
  });
});
