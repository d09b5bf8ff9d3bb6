import type { Listed } from './find-neighbours.ts';
import { FourLanes, UnitRows } from './unit-rows.ts';

/** In how many lists a row looks. */
const probesPerRow = 8;
/** Passes of k-means; a fifth moved recall by less than a thousandth. */
const passes = 4;
/** Rows that the middles are learnt from, for each of them. */
const trainedPerList = 48;

interface Clustered {
  /** Each row is in one list, that of the middle nearest to it. */
  readonly lists: readonly (readonly Listed[])[];
  /** Of each list, the rows that look into it, its own among them. */
  readonly visitors: readonly (readonly Listed[])[];
}

/** Spherical k-means with √n middles, learnt from a part of the rows. The same rows and the same `random` make the same lists. */
export function clusterRows(rows: UnitRows, members: readonly number[], random: () => number): Clustered {
  const lists = Math.round(Math.sqrt(members.length));
  const sample = pick(members, Math.min(members.length, lists * trainedPerList), random);
  let middles = new UnitRows(rows.dimensions);
  for (const row of sample.slice(0, lists)) middles.push(numbersOf(rows, row));
  for (let pass = 0; pass < passes; pass += 1) middles = moveMiddles(rows, sample, middles);
  const clustered = { lists: emptyLists(lists), visitors: emptyLists(lists) };
  forEachNearest(rows, members, middles, probesPerRow, (row, nearest) => {
    for (const [at, { middle, cosine }] of nearest.entries()) {
      if (at === 0) clustered.lists[middle]?.push({ row, cosine });
      clustered.visitors[middle]?.push({ row, cosine });
    }
  });
  return clustered;
}

function emptyLists(count: number): Listed[][] {
  return Array.from({ length: count }, () => []);
}

/** So many of them, in an order of chance. */
function pick(members: readonly number[], count: number, random: () => number): number[] {
  const left = [...members];
  for (let at = 0; at < count; at += 1) {
    const other = at + Math.floor(random() * (left.length - at));
    const row = left[other] ?? 0;
    left[other] = left[at] ?? 0;
    left[at] = row;
  }
  return left.slice(0, count);
}

function numbersOf(rows: UnitRows, row: number): Float32Array {
  const { block, offset } = rows.place(row);
  return block.subarray(offset, offset + rows.dimensions);
}

/** Each middle to the mean of the rows nearest to it; one that no row is nearest to stays where it is. */
function moveMiddles(rows: UnitRows, sample: readonly number[], middles: UnitRows): UnitRows {
  const { dimensions } = rows;
  const sums = Array.from({ length: middles.rows }, () => new Float64Array(dimensions));
  const counts = new Uint32Array(middles.rows);
  forEachNearest(rows, sample, middles, 1, (row, [nearest]) => {
    const sum = nearest && sums[nearest.middle];
    if (!sum) return;
    const { block, offset } = rows.place(row);
    for (let i = 0; i < dimensions; i += 1) sum[i] = (sum[i] ?? 0) + (block[offset + i] ?? 0);
    counts[nearest.middle] = (counts[nearest.middle] ?? 0) + 1;
  });
  const moved = new UnitRows(dimensions);
  for (const [at, sum] of sums.entries()) moved.push((counts[at] ?? 0) > 0 ? sum : numbersOf(middles, at));
  return moved;
}

interface Near {
  readonly middle: number;
  readonly cosine: number;
}

/** The `count` middles nearest to each row. A row without a direction is near to none, and in no list. */
function forEachNearest(
  rows: UnitRows,
  members: readonly number[],
  middles: UnitRows,
  count: number,
  visit: (row: number, nearest: readonly Near[]) => void,
): void {
  const lanes = new FourLanes(rows);
  for (let from = 0; from < members.length; from += 4) {
    const group = members.slice(from, from + 4);
    for (const [lane, row] of group.entries()) lanes.load(lane, row);
    const nearest: Near[][] = group.map(() => []);
    for (let middle = 0; middle < middles.rows; middle += 1) {
      const cosines = lanes.with(middles.place(middle));
      for (const [lane, best] of nearest.entries()) insert(best, count, middle, cosines[lane] ?? 0);
    }
    for (const [lane, row] of group.entries()) visit(row, nearest[lane] ?? []);
  }
}

function insert(best: Near[], count: number, middle: number, cosine: number): void {
  const last = best.at(-1);
  if (Number.isNaN(cosine) || (best.length === count && last && last.cosine >= cosine)) return;
  let at = best.length;
  while (at > 0 && (best[at - 1]?.cosine ?? 0) < cosine) at -= 1;
  best.splice(at, 0, { middle, cosine });
  if (best.length > count) best.pop();
}
