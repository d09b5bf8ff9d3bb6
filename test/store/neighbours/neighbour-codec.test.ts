import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { NearestTable } from '../../../src/store/neighbours/nearest-table.ts';
import { decodeNeighbours, encodeNeighbours } from '../../../src/store/neighbours/neighbour-codec.ts';

const facts = { isComplete: true, seenXid: '12345678901234567890' };

function sample(rows: number) {
  const ids = Array.from({ length: rows }, () => randomUUID()).sort();
  const table = new NearestTable(rows, 0.5);
  for (let a = 0; a < rows; a += 3)
    for (let b = a + 1; b < Math.min(rows, a + 12); b += 1) table.offer(a, b, 1 - (b - a) / 30);
  return { ids, table, payload: encodeNeighbours(ids, table) };
}

it('gives back what went in, wherever in a buffer it lies', () => {
  const { ids, table, payload } = sample(50);
  for (const shift of [0, 1, 2, 4]) {
    const larger = new Uint8Array(payload.length + 8);
    larger.set(payload, shift);
    const lists = decodeNeighbours(larger.subarray(shift, shift + payload.length), facts);
    expect(lists).toMatchObject({ rows: 50, ...facts });
    expect(lists.ids()).toEqual(ids);
    for (const [row, id] of ids.entries()) {
      const expected = Array.from({ length: table.count(row) }, (_, at) => {
        const { row: other, similarity } = table.neighbour(row, at);
        return { id: ids[other], similarity };
      });
      expect(lists.nearest(id)).toEqual(expected);
    }
    expect(lists.nearest(randomUUID())).toEqual([]);
  }
  expect(decodeNeighbours(sample(0).payload, facts).ids()).toEqual([]);
});

it('refuses what is cut, longer, of another kind, or leads outside of itself', () => {
  const { payload } = sample(20);
  const refuses = (bytes: Uint8Array) => expect(() => decodeNeighbours(bytes, facts)).toThrow(TypeError);
  for (let length = 0; length < payload.length; length += 7) refuses(payload.slice(0, length));
  refuses(new Uint8Array([...payload, 0]));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      refuses(bytes);
    }),
  );
  const changed = (at: number, value: number) => {
    const bytes = payload.slice();
    new Uint32Array(bytes.buffer)[at] = value;
    return bytes;
  };
  const offsetsAt = 3 + 4 * 20;
  refuses(changed(0, 7));
  refuses(changed(offsetsAt + 20, 3));
  refuses(changed(offsetsAt + 5, 4_000_000));
  refuses(changed(offsetsAt + 21, 20));
});
