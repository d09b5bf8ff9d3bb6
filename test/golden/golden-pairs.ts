import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';

export const GOLDEN_LABELS = ['reinforce', 'revise', 'supersede', 'keep-both', 'conflict'] as const;
export type GoldenLabel = (typeof GOLDEN_LABELS)[number];

export const GOLDEN_KINDS = [
  'exact-duplicate',
  'case-duplicate',
  'word-order-duplicate',
  'paraphrase',
  'superset',
  'subset',
  'number-twin',
  'unit-spelling',
  'date-twin',
  'date-spelling',
  'negation',
  'person-twin',
  'project-twin',
  'changed-preference',
  'dated-update',
  'late-arrival',
  'undated-contradiction',
  'unrelated',
  'related-different',
] as const;
export type GoldenKind = (typeof GOLDEN_KINDS)[number];

/** The labels a pair of each kind may carry; only a negation's depends on its dates. */
export const LABELS_BY_KIND: Readonly<Record<GoldenKind, readonly GoldenLabel[]>> = {
  'exact-duplicate': ['reinforce'],
  'case-duplicate': ['reinforce'],
  'word-order-duplicate': ['reinforce'],
  paraphrase: ['reinforce'],
  superset: ['revise'],
  subset: ['reinforce'],
  'number-twin': ['keep-both'],
  'unit-spelling': ['reinforce'],
  'date-twin': ['keep-both'],
  'date-spelling': ['reinforce'],
  negation: ['conflict', 'supersede'],
  'person-twin': ['keep-both'],
  'project-twin': ['keep-both'],
  'changed-preference': ['supersede'],
  'dated-update': ['supersede'],
  'late-arrival': ['keep-both'],
  'undated-contradiction': ['conflict'],
  unrelated: ['keep-both'],
  'related-different': ['keep-both'],
};

const goldenSideSchema = z
  .strictObject({
    text: z.string().trim().min(1),
    mentioned_at: z.iso.datetime().exactOptional(),
    occurred_start: z.iso.datetime().exactOptional(),
    context: z.string().min(1).exactOptional(),
  })
  .readonly();

const goldenPairSchema = z
  .strictObject({
    id: z.string().regex(/^[a-z-]+-\d{2}$/),
    kind: z.enum(GOLDEN_KINDS),
    label: z.enum(GOLDEN_LABELS),
    a: goldenSideSchema,
    b: goldenSideSchema,
  })
  .readonly();

export type GoldenSide = z.infer<typeof goldenSideSchema>;
export type GoldenPair = z.infer<typeof goldenPairSchema>;
export type GoldenPart = 'tuning' | 'held-out';

/**
 * Reads one part of the golden pairs, in file order.
 * Throws an Error naming the file and line of the first bad one, never its text: a held-out text must not reach a log.
 */
export function readGoldenPairs(part: GoldenPart): GoldenPair[] {
  const file = `${part}.jsonl`;
  const lines = readFileSync(new URL(file, import.meta.url), 'utf8').split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line, index) => {
    const parsed = goldenPairSchema.safeParse(parseJson(line));
    if (parsed.success) return parsed.data;
    const issues = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'line'}: ${issue.message}`).join('; ');
    throw new Error(`${file}:${index + 1}: ${issues}`);
  });
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
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
