import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideEvictions, decidePins, type PinCandidate } from '../../src/significance/decide-pins.ts';

let made = 0;
function memory(createdAtUs: number, pin: PinCandidate['pin'] = null, pinnedAtUs = createdAtUs): PinCandidate {
  made += 1;
  const id = `m${String(made).padStart(6, '0')}`;
  return { id, createdAtUs, pin, pinnedAtUs: pin === null ? null : pinnedAtUs, isUnpinned: false };
}

const scoring = (significance: 0 | 1 | 2 | 3, ...memories: readonly PinCandidate[]) =>
  memories.map((one) => ({ memory: one, significance }));

test('a 3 is pinned, a 2 is not', () => {
  const [two, three] = [memory(1), memory(2)];
  const decision = decidePins([], [...scoring(2, two), ...scoring(3, three)], 8);
  expect(decision).toEqual({ pinned: [three.id], lost: [], evicted: [] });
});

test('the oldest automatic pin goes, by when its memory came and not by when it was pinned', () => {
  const [old, young, fresh] = [memory(1, 'auto', 900), memory(2, 'auto', 100), memory(3)];
  expect(decidePins([young, old], scoring(3, fresh), 2).evicted).toEqual([{ id: old.id, for: fresh.id }]);
});

test('a new pin stays although its memory is the oldest of all', () => {
  const [old, one, other] = [memory(1), memory(2, 'auto'), memory(3, 'auto')];
  expect(decidePins([one, other], scoring(3, old), 2)).toEqual({
    pinned: [old.id],
    lost: [],
    evicted: [{ id: one.id, for: old.id }],
  });
});

test('made a manual pin evictable by auto-pinning it: what a person pinned is no candidate, whatever it scores', () => {
  const manual = memory(1, 'manual');
  const fresh = [memory(2), memory(3), memory(4)];
  for (const significance of [0, 1, 2, 3] as const) {
    const decision = decidePins([manual], [...scoring(significance, manual), ...scoring(3, ...fresh)], 1);
    expect(decision.pinned).not.toContain(manual.id);
    expect(decision.lost).not.toContain(manual.id);
    expect(decision.evicted.map(({ id }) => id)).not.toContain(manual.id);
  }
});

test('stayed over the cap: a batch that pins more than there is room for keeps the youngest', () => {
  const fresh = [1, 2, 3, 4, 5].map((at) => memory(at));
  const decision = decidePins([], scoring(3, ...fresh.toReversed()), 2);
  expect(decision.pinned).toEqual(fresh.map(({ id }) => id));
  expect(decision.evicted.map(({ id }) => id)).toEqual(fresh.slice(0, 3).map(({ id }) => id));
});

test('stayed over the cap: a cap that was lowered is kept with the next score, whatever it is', () => {
  const pins = [memory(1, 'auto', 9), memory(2, 'auto'), memory(3, 'auto'), memory(4, 'manual')];
  const decision = decidePins(pins, scoring(0, memory(5)), 2);
  // The one that was pinned last is the newest, and stays.
  expect(decision.evicted).toEqual([
    { id: pins[1]?.id, for: null },
    { id: pins[2]?.id, for: null },
  ]);
});

test('beside as many manual pins as the cap, the newest automatic one stays until the next comes', () => {
  const manual = [memory(1, 'manual'), memory(2, 'manual')];
  const [first, second] = [memory(3), memory(4)];
  expect(decidePins(manual, scoring(3, first), 2)).toEqual({ pinned: [first.id], lost: [], evicted: [] });
  const pinned: PinCandidate = { ...first, pin: 'auto', pinnedAtUs: 10 };
  expect(decidePins([...manual, pinned], scoring(1, memory(5)), 2).evicted).toEqual([]);
  expect(decidePins([...manual, pinned], scoring(3, second), 2).evicted).toEqual([{ id: first.id, for: second.id }]);
});

test('what matters less than before loses its automatic pin, and the place is free at once', () => {
  const [edited, other, fresh] = [memory(1, 'auto'), memory(2, 'auto'), memory(3)];
  expect(decidePins([edited, other], [...scoring(1, edited), ...scoring(3, fresh)], 2)).toEqual({
    pinned: [fresh.id],
    lost: [edited.id],
    evicted: [],
  });
});

test('a pin that a person took away is not set again, and takes no place', () => {
  const [old, refused] = [memory(1, 'auto'), { ...memory(2), isUnpinned: true }];
  expect(decidePins([old], scoring(3, refused), 1)).toEqual({ pinned: [], lost: [], evicted: [] });
});

test('what keeps its 3 in a new version keeps its pin, and is not pinned again', () => {
  const edited = memory(1, 'auto');
  expect(decidePins([edited], scoring(3, edited), 1)).toEqual({ pinned: [], lost: [], evicted: [] });
});

test('a manual pin over the cap makes the oldest automatic ones go and no manual one', () => {
  const pins = [memory(1, 'manual'), memory(2, 'auto'), memory(3, 'auto'), memory(4, 'manual')];
  expect(decideEvictions(pins, 3)).toEqual([pins[1]?.id]);
  expect(decideEvictions(pins, 1)).toEqual([pins[1]?.id, pins[2]?.id]);
  expect(decideEvictions(pins, 4)).toEqual([]);
});

test('whatever is pinned and scored: over the cap only by manual pins and the newest, no manual one goes', () => {
  const candidate = fc.record({
    createdAtUs: fc.integer({ min: 0, max: 20 }),
    pin: fc.constantFrom('manual' as const, 'auto' as const, null),
    pinnedAtUs: fc.integer({ min: 0, max: 20 }),
    significance: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const, null),
  });
  fc.assert(
    fc.property(fc.array(candidate, { maxLength: 24 }), fc.integer({ min: 1, max: 8 }), (rows, cap) => {
      const memories = rows.map(({ significance, ...row }, index) => ({
        significance,
        memory: {
          ...row,
          id: `m${String(index).padStart(3, '0')}`,
          pinnedAtUs: row.pin === null ? null : row.pinnedAtUs,
          isUnpinned: false,
        },
      }));
      const pins = memories.map((entry) => entry.memory).filter(({ pin }) => pin !== null);
      const scored = memories.flatMap(({ memory: one, significance }) =>
        significance === null ? [] : [{ memory: one, significance }],
      );
      const decision = decidePins(pins, scored, cap);
      const gone = new Set([...decision.lost, ...decision.evicted.map(({ id }) => id)]);
      const manual = pins.filter(({ pin }) => pin === 'manual');
      const autos = new Set([...pins.filter(({ pin }) => pin === 'auto').map(({ id }) => id), ...decision.pinned]);
      const left = [...autos].filter((id) => !gone.has(id));

      expect(manual.some(({ id }) => gone.has(id))).toBe(false);
      expect(left.length).toBeLessThanOrEqual(Math.max(1, cap - manual.length));
      for (const { id, for: cause } of decision.evicted) expect(id).not.toBe(cause);
      const newest = decision.pinned.at(-1);
      if (newest !== undefined) expect(left).toContain(newest);
      // Nothing goes that has room.
      if (decision.evicted.length > 0) expect(manual.length + left.length).toBeGreaterThanOrEqual(cap);
      expect(new Set(decision.evicted.map(({ id }) => id)).size).toBe(decision.evicted.length);
    }),
  );
});
