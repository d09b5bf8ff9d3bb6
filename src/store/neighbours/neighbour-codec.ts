import type { NearestTable } from './nearest-table.ts';
import type { Neighbour, ReadonlyNeighbours } from './neighbour-lists.ts';

/*
 * Little-endian: the mark, how many rows and how many links; the rows' ids, sixteen bytes each and ascending; where each
 * row's links begin and, last, where they end; the links' rows; the links' similarities. Numbers stand at multiples of
 * four, so that they are read where they lie. Not deflated: of the 4.2 MB of 50,000 rows that takes off a third, and the
 * server packs what is that large by itself.
 */

const mark = 0x31424e45;
const headerBytes = 12;
const idBytes = 16;

/** @param ids of the table's rows, ascending. */
export function encodeNeighbours(ids: readonly string[], table: NearestTable): Uint8Array<ArrayBuffer> {
  const rows = ids.length;
  let links = 0;
  for (let row = 0; row < rows; row += 1) links += table.count(row);
  const bytes = new Uint8Array(headerBytes + idBytes * rows + 4 * (rows + 1) + 8 * links);
  new Uint32Array(bytes.buffer, 0, 3).set([mark, rows, links]);
  for (const [row, id] of ids.entries()) bytes.set(idToBytes(id), headerBytes + idBytes * row);
  const { offsets, neighbours, similarities } = columns(bytes, rows, links);
  let link = 0;
  for (let row = 0; row < rows; row += 1) {
    offsets[row] = link;
    for (let at = 0; at < table.count(row); at += 1, link += 1) {
      const neighbour = table.neighbour(row, at);
      neighbours[link] = neighbour.row;
      similarities[link] = neighbour.similarity;
    }
  }
  offsets[rows] = link;
  return bytes;
}

/**
 * Reads from the bytes themselves; nothing is unpacked before it is asked for.
 *
 * @throws TypeError if the bytes are none that `encodeNeighbours` made, as far as their form tells.
 */
export function decodeNeighbours(
  payload: Uint8Array,
  facts: { readonly isComplete: boolean; readonly seenXid: string },
): ReadonlyNeighbours {
  // As it comes from the driver it may begin anywhere in a larger buffer.
  const bytes = payload.byteOffset % 4 === 0 ? payload : payload.slice();
  const [foundMark, rows = 0, links = 0] =
    bytes.byteLength < headerBytes ? [] : new Uint32Array(bytes.buffer, bytes.byteOffset, 3);
  if (foundMark !== mark || bytes.byteLength !== headerBytes + idBytes * rows + 4 * (rows + 1) + 8 * links)
    throw new TypeError(`${bytes.byteLength} bytes that are no neighbour lists`);
  const { offsets, neighbours, similarities } = columns(bytes, rows, links);
  const isSound =
    offsets[rows] === links &&
    neighbours.every((row) => row < rows) &&
    offsets.every((offset, row) => row === 0 || offset >= (offsets[row - 1] ?? 0));
  if (!isSound) throw new TypeError('neighbour lists that lead outside of themselves');

  const idOf = (row: number) =>
    bytesToId(bytes.subarray(headerBytes + idBytes * row, headerBytes + idBytes * (row + 1)));

  /** By halving: the ids ascend. */
  function rowOf(id: string): number | undefined {
    let from = 0;
    let to = rows;
    while (from < to) {
      const middle = (from + to) >> 1;
      const there = idOf(middle);
      if (there === id) return middle;
      if (there < id) from = middle + 1;
      else to = middle;
    }
    return undefined;
  }

  return {
    rows,
    ...facts,
    ids: () => Array.from({ length: rows }, (_, row) => idOf(row)),
    nearest(id): readonly Neighbour[] {
      const row = rowOf(id);
      if (row === undefined) return [];
      const from = offsets[row] ?? 0;
      const to = offsets[row + 1] ?? 0;
      return Array.from({ length: to - from }, (_, at) => ({
        id: idOf(neighbours[from + at] ?? 0),
        similarity: similarities[from + at] ?? 0,
      }));
    },
  };
}

function columns(bytes: Uint8Array, rows: number, links: number) {
  const offsetsAt = bytes.byteOffset + headerBytes + idBytes * rows;
  const neighboursAt = offsetsAt + 4 * (rows + 1);
  return {
    offsets: new Uint32Array(bytes.buffer, offsetsAt, rows + 1),
    neighbours: new Uint32Array(bytes.buffer, neighboursAt, links),
    similarities: new Float32Array(bytes.buffer, neighboursAt + 4 * links, links),
  };
}

function idToBytes(id: string): Uint8Array {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}

function bytesToId(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
