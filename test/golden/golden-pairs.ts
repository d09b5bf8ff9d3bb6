import { createHash } from 'node:crypto';
import {
  type GoldenPair,
  type GoldenSide,
  readGoldenFile,
  readTuningPairs,
} from '../../src/consolidation/calibration/golden-pairs.ts';

export {
  GOLDEN_KINDS,
  type GoldenKind,
  type GoldenPair,
  type GoldenSide,
  LABELS_BY_KIND,
} from '../../src/consolidation/calibration/golden-pairs.ts';

export type GoldenPart = 'tuning' | 'held-out';

/** One part of the golden pairs, in file order. */
export function readGoldenPairs(part: GoldenPart): GoldenPair[] {
  return part === 'tuning' ? readTuningPairs() : readGoldenFile(new URL('held-out.jsonl', import.meta.url));
}

/**
 * The moment from which a side holds, in ms since the epoch: when it happened if known, else when it was said;
 * null if neither is.
 */
export function goldenTimeMs(side: GoldenSide): number | null {
  const time = side.occurred_start ?? side.mentioned_at;
  return time === undefined ? null : Date.parse(time);
}

/**
 * The split: of every three consecutive numbers of a kind, a hash of kind and block puts one aside. So every kind is
 * split alike, a pair never changes sides when others are added, and nobody can aim a hard pair at one part.
 */
export function isHeldOut(id: string): boolean {
  const match = /^(.+)-(\d+)$/.exec(id);
  const [kind, number] = [match?.[1], match?.[2]];
  if (kind === undefined || number === undefined) throw new Error(`not a pair id: ${id}`);
  const index = Number(number) - 1;
  const block = Math.floor(index / 3);
  const firstByte = createHash('sha256').update(`${kind}/${block}`).digest().readUInt8(0);
  return firstByte % 3 === index % 3;
}
