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
/**
 * Pairs of one file, a JSON object a line, in file order.
 *
 * @throws an Error naming the file and line of the first bad one, never its text: the pairs held out for the tests come
 *   through here too, and none of their texts may reach a log.
 */
export function readGoldenFile(file: URL): GoldenPair[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  if (lines.at(-1) === '') lines.pop();
  const name = file.pathname.split('/').at(-1);
  return lines.map((line, index) => {
    const parsed = goldenPairSchema.safeParse(parseJson(line));
    if (parsed.success) return parsed.data;
    const issues = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'line'}: ${issue.message}`).join('; ');
    throw new Error(`${name}:${index + 1}: ${issues}`);
  });
}

/** The pairs that a threshold is found on. They ship with the package; those held out do not. */
export function readTuningPairs(): GoldenPair[] {
  return readGoldenFile(new URL('tuning.jsonl', import.meta.url));
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
