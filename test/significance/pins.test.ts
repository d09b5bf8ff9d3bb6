import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import { keepPinCaps } from '../../src/significance/pin-caps.ts';
import { MemoryInvalidatedError, pinMemory } from '../../src/significance/pins.ts';
import { somebodyWaitsForALock } from '../consolidation/lock-waits.ts';
import { createSignificanceBench, type SignificanceBench } from './significance-bench.ts';

let bench: SignificanceBench;
beforeAll(async () => {
  bench = await createSignificanceBench();
});
afterAll(() => bench.close());
beforeEach(() => bench.freshBank());

const edit = (id: string, text: string) =>
  bench.db.query('update engram.memories set text = $2 where id = $1', [id, text]);
const invalidate = (id: string) =>
  bench.db.query('update engram.memories set invalidated_at = now() where id = $1', [id]);
const never = new AbortController().signal;
const bringBack = (id: string) =>
  bench.db.query('update engram.memories set invalidated_at = null where id = $1', [id]);

test('a 3 is pinned with its score, and the fourth of three makes the oldest go', async () => {
  const [first, second, third] = await bench.remember('3: a', '3: b', '3: c');
  await bench.scoreAll();
  expect(await bench.pins('auto')).toEqual([first, second, third]);
  const [fourth = ''] = await bench.remember('3: d');
  await bench.scoreAll();
  expect(await bench.pins('auto')).toEqual([second, third, fourth]);
  expect((await bench.events()).slice(-3)).toEqual([
    { kind: 'memory.scored', memory: fourth, detail: { score: 3, by: 'scripted/1', entities: [] } },
    { kind: 'memory.pinned', memory: fourth, detail: { pin: 'auto' } },
    { kind: 'memory.evicted', memory: first, detail: { for: fourth } },
  ]);
});

test('made a manual pin evictable by auto-pinning it: a person pins, the score of 3 comes after, many more come', async () => {
  const [mine = ''] = await bench.remember('3: mine');
  expect(await bench.pin(mine)).toEqual({ memoryId: mine, pin: 'manual', already: false, evicted: [] });
  await bench.scoreAll();
  expect(await bench.pins('manual')).toEqual([mine]);
  await bench.remember(...Array.from({ length: 9 }, (_, index) => `3: other ${index}`));
  await bench.scoreAll();
  expect(await bench.pins('manual')).toEqual([mine]);
  expect(await bench.pins('auto')).toHaveLength(2);

  // Under a hand-written statement as well.
  await bench.db.query(`update engram.memories set pin = 'auto' where id = $1`, [mine]);
  expect(await bench.pins('manual')).toEqual([mine]);
});

test('a manual pin keeps its place when its memory is edited to nothing', async () => {
  const [mine = ''] = await bench.remember('3: mine');
  await bench.pin(mine);
  await edit(mine, '0: thanks');
  await bench.scoreAll();
  expect(await bench.memories()).toMatchObject([{ significance: 0, pin: 'manual' }]);
});

test('an automatic pin of a person choosing is theirs from then on', async () => {
  const [chosen = ''] = await bench.remember('3: chosen');
  await bench.scoreAll();
  expect(await bench.pin(chosen)).toMatchObject({ pin: 'manual', already: false });
  await edit(chosen, '1: chosen');
  await bench.remember('3: b', '3: c', '3: d', '3: e');
  await bench.scoreAll();
  expect(await bench.pins('manual')).toEqual([chosen]);
});

test('an edited memory that matters less loses its automatic pin, one that still matters keeps it', async () => {
  const [less = '', still = ''] = await bench.remember('3: a', '3: b');
  await bench.scoreAll();
  await edit(less, '1: a');
  await edit(still, '3: bb');
  await bench.scoreAll();
  expect(await bench.pins()).toEqual([still]);
  expect((await bench.events(less)).map(({ kind }) => kind)).toEqual([
    'memory.scored',
    'memory.pinned',
    'memory.scored',
    'memory.unpinned',
  ]);
  expect((await bench.events(still)).map(({ kind }) => kind)).toEqual([
    'memory.scored',
    'memory.pinned',
    'memory.scored',
  ]);
});

test('stayed over the cap: manual pins beyond it make automatic ones go, and never one another', async () => {
  const [a = '', b = '', c = ''] = await bench.remember('3: a', '3: b', '3: c');
  await bench.scoreAll();
  const others = await bench.remember('1: d', '1: e', '1: f', '1: g');
  await bench.scoreAll();
  const evicted: (readonly string[] | undefined)[] = [];
  for (const id of others) evicted.push((await bench.pin(id))?.evicted);
  expect(evicted).toEqual([[a], [b], [c], []]);
  expect(await bench.pins('manual')).toEqual(others);
  expect(await bench.pins('auto')).toEqual([]);
  expect((await bench.events(c)).at(-1)).toEqual({ kind: 'memory.evicted', memory: c, detail: { for: others[2] } });
});

test('an invalidated memory holds no place, and comes back without its automatic pin until it is scored again', async () => {
  const [gone = '', b = '', c = ''] = await bench.remember('3: a', '3: b', '3: c');
  await bench.scoreAll();
  await invalidate(gone);
  const [fresh = ''] = await bench.remember('3: d');
  await bench.scoreAll();
  expect(await bench.pins()).toEqual([b, c, fresh]);
  await bringBack(gone);
  expect(await bench.pins()).toEqual([b, c, fresh]);
  await bench.scoreAll();
  // Newly pinned, so the oldest of the others goes.
  expect(await bench.pins()).toEqual([gone, c, fresh]);
});

test('an automatic pin that goes with an invalidation is told, and one by hand stays and says nothing', async () => {
  const [auto = '', mine = '', plain = ''] = await bench.remember('3: a', '1: mine', '1: plain');
  await bench.pin(mine);
  await bench.scoreAll();
  await bench.db.query('update engram.memories set invalidated_at = now() where bank_id = $1', [bench.bankId]);
  const last = async (id: string) =>
    bench.rows(
      `select kind, detail ->> 'pin' as pin from engram.events
       where bank_id = $1 and memory_id = $2 order by events.id desc limit 2`,
      [bench.bankId, id],
    );
  expect((await last(auto)).toReversed()).toEqual([
    { kind: 'memory.invalidated', pin: null },
    { kind: 'memory.unpinned', pin: 'auto' },
  ]);
  for (const id of [mine, plain]) expect((await last(id))[0]).toEqual({ kind: 'memory.invalidated', pin: null });
});

test('a manual pin of an invalidated memory waits for its return and takes no place meanwhile', async () => {
  const [mine = ''] = await bench.remember('1: mine');
  await bench.pin(mine);
  await invalidate(mine);
  const others = await bench.remember('3: a', '3: b', '3: c');
  await bench.scoreAll();
  expect(await bench.pins()).toEqual(others);
  await bringBack(mine);
  await bench.scoreAll();
  expect(await bench.pins('manual')).toEqual([mine]);
  expect(await bench.pins('auto')).toEqual(others.slice(1));
});

test('pin and unpin: twice is once, and an unpinned one does not come back by itself', async () => {
  const [memory = ''] = await bench.remember('3: a');
  await bench.scoreAll();
  expect(await bench.pin(memory)).toMatchObject({ pin: 'manual', already: false });
  expect(await bench.pin(memory)).toMatchObject({ pin: 'manual', already: true });
  expect(await bench.unpin(memory)).toMatchObject({ pin: null, already: false });
  expect(await bench.unpin(memory)).toMatchObject({ pin: null, already: true });
  await bench.wakeAll();
  await bench.scoreAll();
  expect(await bench.pins()).toEqual([]);
  expect((await bench.events(memory)).map(({ kind, detail }) => [kind, detail.pin])).toEqual([
    ['memory.scored', undefined],
    ['memory.pinned', 'auto'],
    ['memory.pinned', 'manual'],
    ['memory.unpinned', 'manual'],
  ]);
});

test('undid an unpin without an edit: brought back after an invalidation, or unpinned before the first score, it stays away', async () => {
  const [memory = '', early = ''] = await bench.remember('3: a', '3: b');
  await bench.pin(early);
  await bench.unpin(early);
  await bench.scoreAll();
  expect(await bench.pins()).toEqual([memory]);
  await bench.unpin(memory);
  await invalidate(memory);
  await bringBack(memory);
  await bench.db.query(`update engram.memories set tags = '{new}' where id = $1`, [memory]);
  await bench.scoreAll();
  expect(await bench.memories()).toMatchObject([
    { significance: 3, isScored: true, pin: null },
    { significance: 3, isScored: true, pin: null },
  ]);
  // Another text is another matter, and so is another word of the person.
  await edit(memory, '3: a, and more');
  await bench.pin(early);
  await bench.scoreAll();
  expect([await bench.pins('auto'), await bench.pins('manual')]).toEqual([[memory], [early]]);
  const refused = 'select from engram.memories where bank_id = $1 and unpinned_at is not null';
  expect(await bench.rows(refused, [bench.bankId])).toEqual([]);
});

test('a lowered cap is kept in every bank without a score, by the oldest automatic pins and under the lock of the bank', async () => {
  await bench.db.query('delete from engram.banks');
  await bench.freshBank();
  const [a = '', b = '', c = ''] = await bench.remember('3: a', '3: b', '3: c');
  const [mine = ''] = await bench.remember('1: mine');
  await bench.scoreAll();
  const first = bench.bankId;
  await bench.freshBank();
  const others = await bench.remember('3: d', '3: e');
  const [invalid = ''] = await bench.remember('1: gone');
  await bench.pin(invalid);
  await bench.scoreAll();
  await invalidate(invalid);
  const before = await bench.events();

  // Somebody pins by hand meanwhile.
  const hold = bench.races.hold('pin:before-commit');
  const pinning = pinMemory(bench.deps, { bankId: first, memoryId: mine });
  await hold.reached;
  const lowered = await bench.beside({ pinCap: 2 });
  const kept = keepPinCaps(lowered, never);
  await somebodyWaitsForALock(bench);
  hold.release();
  await pinning;
  expect(await kept).toBe(1);
  expect(await keepPinCaps(lowered, never)).toBe(0);
  const { rows } = await bench.db.query(
    `select kind, memory_id as id, detail from engram.events where bank_id = $1 and kind = 'memory.evicted' order by id`,
    [first],
  );
  expect(rows).toEqual([
    { kind: 'memory.evicted', id: a, detail: { for: mine } },
    { kind: 'memory.evicted', id: b, detail: {} },
  ]);
  const pinned = await bench.rows('select id, pin from engram.memories where bank_id = $1 and pin is not null', [
    first,
  ]);
  expect(pinned).toEqual(
    expect.arrayContaining([
      { id: c, pin: 'auto' },
      { id: mine, pin: 'manual' },
    ]),
  );
  // A bank under its cap is left alone; what is not to be believed takes no place.
  expect(await bench.pins()).toEqual(others);
  expect(await bench.events()).toEqual(before);
});

test('caps wait where the sleep is interrupted', async () => {
  await bench.remember('3: a', '3: b');
  await bench.scoreAll();
  expect(await keepPinCaps(await bench.beside({ pinCap: 1 }), AbortSignal.abort())).toBe(0);
  expect(await bench.pins()).toHaveLength(2);
});

test('nobody pins what is not there or not to be believed; what is pinned and invalid can be unpinned', async () => {
  expect(await bench.pin(uuid())).toBeNull();
  expect(await bench.unpin(uuid())).toBeNull();
  const [memory = '', elsewhere = ''] = await bench.remember('1: a', '1: b');
  expect(await pinMemory(bench.deps, { bankId: 'no-such-bank', memoryId: elsewhere })).toBeNull();
  await bench.pin(memory);
  await invalidate(memory);
  await invalidate(elsewhere);
  await expect(bench.pin(elsewhere)).rejects.toThrow(MemoryInvalidatedError);
  expect(await bench.unpin(memory)).toMatchObject({ pin: null, already: false });
});

test('pins of another bank neither count nor go', async () => {
  const [theirs = ''] = await bench.remember('3: theirs');
  await bench.scoreAll();
  const before = bench.bankId;
  await bench.freshBank();
  await bench.remember('3: a', '3: b', '3: c', '3: d');
  await bench.scoreAll();
  expect(await bench.pins()).toHaveLength(3);
  const { rows } = await bench.db.query('select id from engram.memories where bank_id = $1 and pin is not null', [
    before,
  ]);
  expect(rows).toEqual([{ id: theirs }]);
});

test('tore score and pin apart: where the commit does not come, neither does anything of it', async () => {
  const ids = await bench.remember('3: a', '3: b', '3: c');
  await bench.scoreAll();
  const before = await bench.events();
  await bench.remember('3: d');
  const cut = await bench.beside({
    racepoints: {
      async reach(name) {
        if (name === 'score:before-commit' || name === 'pin:before-commit') throw new Error('cut off');
      },
    },
  });
  await expect(bench.score(createSignificanceEngine(cut))).rejects.toThrow('cut off');
  await expect(pinMemory(cut, { bankId: bench.bankId, memoryId: ids[0] ?? '' })).rejects.toThrow('cut off');
  expect((await bench.memories()).map(({ significance, pin }) => [significance, pin])).toEqual([
    [3, 'auto'],
    [3, 'auto'],
    [3, 'auto'],
    [null, null],
  ]);
  expect(await bench.events()).toEqual(before);
});

test('a pin of a person that comes while a score is being written waits, and neither is lost', async () => {
  const [a = '', b = '', c = ''] = await bench.remember('3: a', '3: b', '3: c');
  await bench.scoreAll();
  const [d = ''] = await bench.remember('3: d');
  const hold = bench.races.hold('score:before-commit');
  const scoring = bench.score();
  await hold.reached;
  const other = await bench.beside();
  // `a` is being evicted by the one that holds the bank.
  const pinning = pinMemory(other, { bankId: bench.bankId, memoryId: a });
  hold.release();
  await scoring;
  expect(await pinning).toMatchObject({ pin: 'manual', evicted: [b] });
  expect(await bench.pins()).toEqual([a, c, d]);
});

test('stayed over the cap: of two pins by hand at once, the second counts the first', async () => {
  const [, , youngest = ''] = await bench.remember('3: a', '3: b', '3: c');
  await bench.scoreAll();
  const [one = '', other = ''] = await bench.remember('1: d', '1: e');
  await bench.scoreAll();
  const hold = bench.races.hold('pin:before-commit');
  const first = bench.pin(one);
  await hold.reached;
  const second = pinMemory(await bench.beside(), { bankId: bench.bankId, memoryId: other });
  await somebodyWaitsForALock(bench);
  hold.release();
  await Promise.all([first, second]);
  expect(await bench.pins('manual')).toEqual([one, other]);
  expect(await bench.pins('auto')).toEqual([youngest]);
});
