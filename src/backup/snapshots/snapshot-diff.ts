import type { Database } from '../../db/database.ts';
import {
  type DifferenceGroup,
  type DiffPlace,
  diffSnapshots,
  listSnapshots,
  type RowDifference,
  type Snapshot,
  type SnapshotRow,
  textsInVersions,
} from '../../store/snapshots.ts';
import { SnapshotNotFoundError } from './snapshot-errors.ts';

/** What became of a row between two snapshots. One that is written again and superseded is superseded. */
export const differenceKinds = [
  'added',
  'gone',
  'changed',
  'superseded',
  'folded',
  'retired',
  'restored',
  'invalidated',
  'moved',
  'pinned',
  'unpinned',
] as const;
export type DifferenceKind = (typeof differenceKinds)[number];

export interface SnapshotDifference extends RowDifference {
  readonly kinds: readonly DifferenceKind[];
  /** Null where the row was not, or nobody has kept what it said. */
  readonly beforeText: string | null;
  readonly afterText: string | null;
}

export interface SnapshotDiff {
  readonly before: Snapshot;
  /** Null: the bank as it stands. */
  readonly after: Snapshot | null;
  /** Over all pages. */
  readonly counts: Readonly<Record<'memories' | 'observations', Partial<Record<DifferenceKind, number>>>>;
  readonly differences: readonly SnapshotDifference[];
  readonly next: DiffPlace | null;
}

/** Short of this an abbreviation says too little: ids begin with the time. */
const shortestName = 8;

/**
 * The snapshot of a name: its id or the first eight letters of it or more, `latest`, `latest~1` for the one before.
 *
 * @param snapshots newest first @throws SnapshotNotFoundError
 */
export function snapshotNamed(snapshots: readonly Snapshot[], name: string): Snapshot {
  const [, back] = /^latest(?:~(\d{1,4}))?$/.exec(name) ?? [];
  if (back !== undefined || name === 'latest') {
    const found = snapshots[Number(back ?? 0)];
    if (found) return found;
    const held = snapshots.length === 1 ? 'one snapshot' : `${snapshots.length || 'no'} snapshots`;
    throw new SnapshotNotFoundError(`there is no ${name}: the bank has ${held}`);
  }
  const wanted = name.toLowerCase();
  const found = wanted.length < shortestName ? [] : snapshots.filter(({ id }) => id.startsWith(wanted));
  const [one] = found;
  if (one && found.length === 1) return one;
  throw new SnapshotNotFoundError(
    found.length > 1
      ? `${found.length} snapshots begin with ${JSON.stringify(name)}; give more of the id`
      : `there is no snapshot ${JSON.stringify(name)} in this bank; \`engramd snapshot list\` names them, and \`latest\`, \`latest~1\` and so on are understood`,
  );
}

/** What a row has been through, from one side to the other. */
export function kindsOf(before: SnapshotRow | null, after: SnapshotRow | null): DifferenceKind[] {
  if (before === null) return ['added'];
  if (after === null) return ['gone'];
  const kinds: DifferenceKind[] = [];
  if (before.state !== after.state) kinds.push(stateKind(before.state, after.state));
  else if (before.version !== after.version) kinds.push('changed');
  if (before.pin === null && after.pin !== null) kinds.push('pinned');
  if (before.pin !== null && after.pin === null) kinds.push('unpinned');
  // Automatic by now, or by hand.
  return kinds.length === 0 ? ['pinned'] : kinds;
}

function stateKind(before: string, after: string): DifferenceKind {
  switch (after) {
    case 'superseded':
    case 'folded':
    case 'retired':
    case 'invalidated':
      return after;
    case 'live':
      return 'restored';
    default:
      // Of a memory: pending, consolidated, held…
      return before === 'invalidated' ? 'restored' : 'moved';
  }
}

/**
 * What differs between two snapshots, or a snapshot and now, with what rows said on both sides as far as the history has it.
 *
 * @throws SnapshotNotFoundError
 */
export async function diffOfSnapshots(
  db: Database,
  bankId: string,
  options: {
    readonly before: string;
    readonly after: string;
    readonly place: DiffPlace | null;
    readonly limit: number;
  },
): Promise<SnapshotDiff> {
  const snapshots = await listSnapshots(db, bankId);
  const before = snapshotNamed(snapshots, options.before);
  const after = options.after === 'now' ? null : snapshotNamed(snapshots, options.after);
  const { rows, groups } = await diffSnapshots(db, bankId, {
    before: before.id,
    after: after?.id ?? null,
    place: options.place,
    limit: options.limit + 1,
  });
  const page = rows.slice(0, options.limit);
  const last = page.at(-1);
  const sides = page.flatMap(({ target, id, before: was, after: is }) =>
    [was, is].flatMap((row) => (row === null ? [] : [{ target, id, version: row.version }])),
  );
  const texts = (await textsInVersions(db, bankId, sides)).values();
  return {
    before,
    after,
    counts: { memories: countsOf(groups, 'memories'), observations: countsOf(groups, 'observations') },
    differences: page.map((row) => ({
      ...row,
      kinds: kindsOf(row.before, row.after),
      beforeText: row.before === null ? null : (texts.next().value ?? null),
      afterText: row.after === null ? null : (texts.next().value ?? null),
    })),
    next: rows.length > options.limit && last ? { target: last.target, id: last.id } : null,
  };
}

function countsOf(
  groups: readonly DifferenceGroup[],
  target: 'memories' | 'observations',
): Partial<Record<DifferenceKind, number>> {
  const counts: Partial<Record<DifferenceKind, number>> = {};
  for (const group of groups) {
    if (group.target !== target) continue;
    for (const kind of kindsOf(group.before, group.after)) counts[kind] = (counts[kind] ?? 0) + group.rows;
  }
  return counts;
}
