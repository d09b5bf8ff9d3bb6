import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HeldConnectionError } from '../../src/db/errors.ts';
import { createRecall } from '../../src/recall/recall.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createRecallFixture, type RecallFixture } from './recall-fixture.ts';

let fixture: RecallFixture;
beforeEach(async () => {
  fixture = await createRecallFixture();
});
afterEach(() => fixture.close());

describe('a question', () => {
  test('finds the row that has some of its words, above rows that share only the common ones', async () => {
    await fixture.remember(
      'Caroline likes tea.',
      'Caroline met Anna.',
      'Caroline attended a support group in May.',
      'Caroline called her sister.',
    );
    fixture.fake.onEmbed = () => Promise.reject(new Error('down'));
    const [first, ...others] = await fixture.texts('When did Caroline go to the support group?');
    expect(first).toBe('m: Caroline attended a support group in May.');
    expect(others).toHaveLength(3);
  });

  test.each(["it's 50% off & | ! ( ) : * <-> 'quoted' \\ \"x\"", "O'Brien\\s", '???', 'the of and'])(
    'of any characters is just words: %s',
    async (query) => {
      await fixture.remember("O'Brien's 50% discount");
      expect((await fixture.recall(query)).degraded).toBeNull();
    },
  );

  test.each([40, 120])('of %i words finds the row that shares only the last of them', async (count) => {
    await fixture.remember('Zebrafish tank filter: replaced.');
    fixture.fake.onEmbed = () => Promise.reject(new Error('down'));
    // Before `zebrafish` in the alphabet, and no word of English.
    const words = Array.from(
      { length: count - 1 },
      (_, i) => `q${String.fromCharCode(97 + (i % 26), 98 + Math.floor(i / 26))}x`,
    );
    expect(await fixture.texts(`${words.join(' ')} zebrafish`)).toEqual(['m: Zebrafish tank filter: replaced.']);
  });

  test('finds a new memory by its words before it has a vector', async () => {
    await fixture.remember('an old one');
    await fixture.db.query(
      "insert into engram.memories (bank_id, id, text) values ('b', gen_random_uuid(), 'fresh fact about kites')",
    );
    expect((await fixture.texts('kites'))[0]).toBe('m: fresh fact about kites');
  });

  test('finds nothing of another bank', async () => {
    await fixture.remember('Ann drinks tea.');
    expect((await fixture.recall('tea', { bankId: 'other' })).items).toEqual([]);
  });
});

describe('observations and raw memories', () => {
  test('an observation stands for the memories it cites, which come with it', async () => {
    const [tea, also] = await fixture.remember(
      { text: 'Ann drinks tea.', mentioned_at: '2026-01-01', source_ref: 'a/1' },
      { text: 'Ann had tea again.', mentioned_at: '2026-01-02' },
    );
    await fixture.remember('Bob drinks milk.');
    await fixture.observe('Ann drinks tea.', [tea ?? '', also ?? '']);
    const { items } = await fixture.recall('What does Ann drink?');
    expect(items[0]).toMatchObject({
      type: 'observation',
      tokens: 4,
      observation: {
        text: 'Ann drinks tea.',
        state: 'live',
        evidence: 2,
        sources: [
          { id: also, text: 'Ann had tea again.' },
          { id: tea, sourceRef: 'a/1', mentionedAt: new Date('2026-01-01') },
        ],
      },
    });
    expect(await fixture.texts('What does Ann drink?')).toEqual(['o: Ann drinks tea.', 'm: Bob drinks milk.']);
  });

  test('what no returned observation cites stays reachable, pending, parked or held', async () => {
    await fixture.remember('pending kite', 'parked kite', 'held kite');
    for (const state of ['parked', 'held']) {
      await fixture.db.query("update engram.memories set state = $1 where text like $1 || '%'", [state]);
    }
    expect((await fixture.texts('kite')).toSorted()).toEqual(['m: held kite', 'm: parked kite', 'm: pending kite']);
  });

  test('an invalidated memory is not found, nor counted as evidence', async () => {
    const [gone, stays] = await fixture.remember('red kite', 'blue kite');
    await fixture.observe('kites', [gone ?? '', stays ?? '']);
    await fixture.db.query('update engram.memories set invalidated_at = now() where id = $1', [gone]);
    await fixture.db.query('update engram.observations set needs_replan_at = null');
    expect(await fixture.texts('red kite', { only: 'memories' })).toEqual(['m: blue kite']);
    const { items } = await fixture.recall('kites', { only: 'observations' });
    expect(items).toMatchObject([{ observation: { evidence: 1, sources: [{ id: stays }] } }]);
  });

  test('an observation that is about to be written again is left out, its memories are not', async () => {
    const [id] = await fixture.remember('red kite');
    await fixture.observe('a red kite', [id ?? ''], { needsReplanAt: new Date().toISOString() });
    expect(await fixture.texts('red kite')).toEqual(['m: red kite']);
  });

  test('either kind alone', async () => {
    const [id] = await fixture.remember('red kite');
    await fixture.observe('a red kite', [id ?? '']);
    expect(await fixture.texts('kite', { only: 'memories' })).toEqual(['m: red kite']);
    expect(await fixture.texts('kite', { only: 'observations' })).toEqual(['o: a red kite']);
  });
});

describe('what is no longer current', () => {
  test('a superseded observation comes on request only; its memory is marked', async () => {
    const [tea, coffee] = await fixture.remember('Ann drinks tea.', 'Ann drinks coffee.');
    const now = await fixture.observe('Ann drinks coffee.', [coffee ?? '']);
    await fixture.observe('Ann drinks tea.', [tea ?? ''], { supersededBy: now });
    expect(await fixture.texts('What does Ann drink?')).toEqual(['o: Ann drinks coffee.', 'm: Ann drinks tea.']);
    const { items } = await fixture.recall('What does Ann drink?');
    expect(items[1]).toMatchObject({ type: 'memory', supersededBy: now });
    const all = await fixture.recall('What does Ann drink?', { includeSuperseded: true });
    expect(all.items).toMatchObject([
      { observation: { text: 'Ann drinks coffee.', state: 'live' } },
      { observation: { text: 'Ann drinks tea.', state: 'superseded', supersededBy: now } },
    ]);
  });

  test('a folded observation is answered by what it is folded into, which cites its memories', async () => {
    const [a, b] = await fixture.remember('The cat is called Momo.', 'Momo is the name of that cat.');
    const canonical = await fixture.observe('The cat is called Momo.', [a ?? '']);
    const folded = await fixture.observe('Momo is the name of that cat.', [b ?? ''], { canonicalId: canonical });
    expect(await fixture.texts('Momo is the name of that cat.')).toEqual(['o: The cat is called Momo.']);
    const { items } = await fixture.recall('Momo is the name of that cat.', { includeFolded: true });
    expect(items.map((item) => item.type === 'observation' && item.observation.id).toSorted()).toEqual(
      [canonical, folded].toSorted(),
    );
    expect(items.find((item) => item.type === 'observation' && item.observation.id === canonical)).toMatchObject({
      observation: { evidence: 2 },
    });
  });

  test('a retired one comes on request only', async () => {
    const [id] = await fixture.remember('something else entirely');
    await fixture.observe('red kite', [id ?? ''], { retiredAt: new Date().toISOString() });
    expect(await fixture.texts('kite', { only: 'observations' })).toEqual([]);
    expect(await fixture.texts('kite', { only: 'observations', includeRetired: true })).toEqual(['o: red kite']);
  });

  test('rows that were not asked for take no place from those that were', async () => {
    const [id] = await fixture.remember('unrelated');
    // Shares with the query only words that full text leaves out.
    await fixture.observe('What it does with that is up to it.', [id ?? '']);
    const retiredAt = new Date().toISOString();
    for (let i = 0; i < 70; i += 1) await fixture.observe('What does Ann drink?', [], { retiredAt });
    const texts = await fixture.texts('What does Ann drink?', { includeSuperseded: true, only: 'observations' });
    expect(texts).toEqual(['o: What it does with that is up to it.']);
  });
});

test('a conflict is flagged on both sides, each with the other', async () => {
  const [a, b] = await fixture.remember('The shop opens at nine.', 'The shop opens at ten.');
  const left = await fixture.observe('The shop opens at nine.', [a ?? '']);
  const right = await fixture.observe('The shop opens at ten.', [b ?? '']);
  await fixture.conflict(left, right);
  const { items } = await fixture.recall('When does the shop open?');
  const flags = items.map(
    (item) => item.type === 'observation' && item.observation.conflicts.map((c) => [c.otherId, c.otherText]),
  );
  expect(flags.toSorted()).toEqual(
    [[[left, 'The shop opens at nine.']], [[right, 'The shop opens at ten.']]].toSorted(),
  );
});

describe('a budget', () => {
  test('over which the first item is does not end the list', async () => {
    await fixture.remember(`kite kite kite ${'kite '.repeat(400)}`, 'a red kite', 'a blue kite');
    const { items, tokens } = await fixture.recall('kite', { maxTokens: 20 });
    expect(items).toHaveLength(2);
    expect(tokens).toBe(6);
  });
});

describe('tags', () => {
  test('narrow to what carries all of them, whatever else it carries', async () => {
    const [both] = await fixture.remember(
      { text: 'kite one', tags: ['x', 'y', 'z'] },
      { text: 'kite two', tags: ['x'] },
      { text: 'kite three' },
    );
    await fixture.observe('kite one', [both ?? ''], { tags: ['x', 'y', 'z'] });
    expect(await fixture.texts('kite', { tags: ['y', 'x'] })).toEqual(['o: kite one']);
    expect((await fixture.texts('kite', { tags: ['x'] })).toSorted()).toEqual(['m: kite two', 'o: kite one']);
    expect(await fixture.texts('kite', { tags: ['nobody'] })).toEqual([]);
  });

  test('of more scopes than are searched one by one still find by vector', async () => {
    const inputs = Array.from({ length: 40 }, (_, i) => ({ text: `kite number ${i}`, tags: ['x', `t${i}`] }));
    await fixture.remember(...inputs, 'untagged kite');
    const texts = await fixture.texts('kite number', { tags: ['x'], limit: 50 });
    expect(texts).toHaveLength(40);
  });
});

describe('an embedder that fails', () => {
  test('leaves full text, and the answer says so', async () => {
    await fixture.remember('a red kite');
    fixture.fake.onEmbed = () => Promise.reject(new Error('down'));
    expect(await fixture.recall('kite')).toMatchObject({
      degraded: 'embedder',
      items: [{ memory: { text: 'a red kite' } }],
    });
  });

  test('by never answering is given up on', async () => {
    await fixture.remember('a red kite');
    fixture.fake.onEmbed = () => new Promise(() => undefined);
    const { db, vectors, embedder, metrics } = fixture;
    const clock = { ...systemClock, sleep: async () => undefined };
    const { recall } = createRecall({ db, vectors, embedder, clock, metrics, log: silentLog });
    expect(await recall({ bankId: 'b', query: 'kite' })).toMatchObject({ degraded: 'embedder', items: [{}] });
  });

  test('because we hold a connection is our bug and not hidden', async () => {
    await fixture.remember('a red kite');
    await expect(fixture.db.tx({ label: 'outer' }, () => fixture.recall('kite'))).rejects.toBeInstanceOf(
      HeldConnectionError,
    );
  });

  test('because the caller went away is no answer', async () => {
    await fixture.remember('a red kite');
    const gone = new AbortController();
    fixture.fake.onEmbed = () => new Promise(() => queueMicrotask(() => gone.abort(new Error('gone'))));
    await expect(fixture.recall('kite', { signal: gone.signal })).rejects.toThrow('gone');
  });
});

test('a secret in the query does not reach the model', async () => {
  await fixture.remember('a red kite');
  await fixture.recall('kite password=hunter2');
  expect(fixture.fake.calls.at(-1)).toMatchObject({ texts: ['kite password=[secret removed]'], purpose: 'query' });
});

test('no connection is held while the query is embedded', async () => {
  await fixture.remember('a red kite');
  const used: number[] = [];
  fixture.fake.onEmbed = () => void used.push(fixture.db.poolCounts().used);
  await fixture.recall('kite');
  expect(used).toEqual([0]);
});
