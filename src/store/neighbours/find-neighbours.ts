import { clusterRows } from './cluster-rows.ts';
import { NearestTable } from './nearest-table.ts';
import { FourLanes, type UnitRows } from './unit-rows.ts';

/** Up to here each row is compared with each: 4,000 × 512 take 1.6 s. */
const exactRows = 4000;

/** A list that is longer than this many times the usual one is not looked through whole: see {@link scanList}. */
const oversize = 4;

/**
 * The nearest rows of each row, of its own scope and at or above `floor`.
 *
 * A scope of up to 4,000 rows is compared whole. A larger one is put into about √n lists by k-means, and each row is
 * compared with the rows of the eight lists that it is nearest to: 50,000 × 512 take 27 s of one core instead of four
 * minutes. Of the eight nearest of 10,000 rows around topics all are found where the topics are clear (cosines of 0.65), and
 * 98.6 % where they are hardly there (0.38).
 *
 * @param scopes of each row, any numbers
 */
export function findNeighbours(
  rows: UnitRows,
  scopes: ArrayLike<number>,
  options: { readonly floor: number; readonly random: () => number; readonly exactRows?: number },
): NearestTable {
  const table = new NearestTable(rows.rows, options.floor);
  const lanes = new FourLanes(rows);
  const members = Map.groupBy(
    Array.from({ length: rows.rows }, (_, row) => row),
    (row) => scopes[row],
  );
  for (const scope of members.values()) {
    if (scope.length <= (options.exactRows ?? exactRows)) compareAll(rows, scope, lanes, table);
    else compareClustered(rows, scope, { lanes, table, random: options.random });
  }
  return table;
}

/** Each pair once. */
function compareAll(rows: UnitRows, members: readonly number[], lanes: FourLanes, table: NearestTable): void {
  for (let from = 0; from < members.length; from += 4) {
    const group = members.slice(from, from + 4);
    for (const [lane, row] of group.entries()) lanes.load(lane, row);
    for (let at = from + 1; at < members.length; at += 1) {
      const other = members[at] ?? 0;
      const cosines = lanes.with(rows.place(other));
      for (let lane = 0; lane < group.length && from + lane < at; lane += 1)
        table.offer(group[lane] ?? 0, other, cosines[lane] ?? 0);
    }
  }
}

interface Search {
  readonly lanes: FourLanes;
  readonly table: NearestTable;
  readonly random: () => number;
}

function compareClustered(rows: UnitRows, members: readonly number[], search: Search): void {
  const { lists, visitors } = clusterRows(rows, members, search.random);
  const most = Math.ceil((oversize * members.length) / lists.length);
  for (const [at, list] of lists.entries()) scanList(rows, list, visitors[at] ?? [], { ...search, most });
}

export interface Listed {
  readonly row: number;
  /** With the middle of the list. */
  readonly cosine: number;
}

/**
 * Compares those who visit a list with its rows. Of one that is far too long (a bank that says the same thing ten thousand
 * times) each visitor sees the rows that are about as near to the middle as itself: the work has a bound, and rows that are
 * alike are as near to the middle as each other.
 */
function scanList(
  rows: UnitRows,
  list: readonly Listed[],
  visitors: readonly Listed[],
  { lanes, table, most }: Search & { readonly most: number },
): void {
  const isLong = list.length > most;
  const inList = isLong ? list.toSorted(byCosine) : list;
  const visiting = isLong ? visitors.toSorted(byCosine) : visitors;
  let middle = 0;
  for (let from = 0; from < visiting.length; from += 4) {
    const group = visiting.slice(from, from + 4);
    for (const [lane, { row }] of group.entries()) lanes.load(lane, row);
    const nearness = group[group.length >> 1]?.cosine ?? 0;
    while (isLong && middle < inList.length && (inList[middle]?.cosine ?? 0) > nearness) middle += 1;
    const begin = isLong ? Math.max(0, Math.min(inList.length - most, middle - (most >> 1))) : 0;
    const end = isLong ? begin + most : inList.length;
    for (let at = begin; at < end; at += 1) {
      const other = inList[at]?.row ?? 0;
      const cosines = lanes.with(rows.place(other));
      for (let lane = 0; lane < group.length; lane += 1) table.offer(group[lane]?.row ?? 0, other, cosines[lane] ?? 0);
    }
  }
}

function byCosine(a: Listed, b: Listed): number {
  return b.cosine - a.cosine || a.row - b.row;
}
