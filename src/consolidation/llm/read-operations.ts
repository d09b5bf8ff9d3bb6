import { z } from 'zod';
import { scrubSecrets } from '../../models/scrub-secrets.ts';
import type { Alias, OpKind } from '../decider.ts';

/** An operation as a model wrote it, with all that its kind needs; nothing of it has been judged. */
export interface WrittenOp {
  readonly op: OpKind;
  readonly target: Alias | null;
  readonly into: Alias | null;
  readonly as: Alias | null;
  readonly text: string | null;
  readonly memories: readonly Alias[];
  readonly validFrom: string | null;
  readonly reason: string;
}

export interface MalformedOp {
  readonly memories: readonly Alias[];
  readonly reason: string;
}

export interface ReadOperations {
  readonly ops: readonly WrittenOp[];
  readonly malformed: readonly MalformedOp[];
}

const kinds = ['create', 'reinforce', 'revise', 'supersede', 'conflict', 'fold', 'retire', 'skip'] as const;
const mostReasonCharacters = 500;
/**
 * Of an alias, and of a date: whatever is longer is neither. Measured before any pattern looks at it: those that look for an end
 * are quadratic, and 60 KB of brackets held up the whole process for 5 s.
 */
const mostNameCharacters = 100;

/** `M1`, `[m1]`, ` m1 `, `{"id": "m1"}`: all mean m1. */
const alias = z.preprocess((value) => {
  const named = typeof value === 'object' && value !== null && 'id' in value ? value.id : value;
  if (typeof named !== 'string') return named;
  const trimmed = named.trim();
  if (trimmed.length > mostNameCharacters) return null;
  return trimmed.replace(/^[[("'`]+|[\])"'`]+$/gu, '').toLowerCase();
}, z.string().max(64));
const noAlias = z.preprocess((value) => (value === '' || value === undefined ? null : value), alias.nullable());
/** One memory may stand without its list, and 1 can only mean m1. */
const memories = z.preprocess(
  (value) =>
    (Array.isArray(value) ? value : value === null || value === undefined || value === '' ? [] : [value]).map((one) =>
      typeof one === 'number' ? `m${one}` : one,
    ),
  z.array(alias),
);
const line = z.string().nullish().catch(null);

/** Fields that are no part of it are left out, those that may be null may be missing. */
const element = z.object({
  op: z.preprocess((value) => (typeof value === 'string' ? value.trim().toLowerCase() : value), z.enum(kinds)),
  target: noAlias,
  into: noAlias,
  as: noAlias.catch(null),
  text: z.string().nullish(),
  memories,
  valid_from: line,
  reason: line,
});

/** What a kind cannot do without. Whether memories are cited is for the judges, but for what can say nothing without one. */
const needs: Readonly<Record<OpKind, readonly ('target' | 'into' | 'text' | 'memories' | 'reason')[]>> = {
  create: ['text'],
  reinforce: ['target', 'memories'],
  revise: ['target', 'text'],
  supersede: ['target', 'text'],
  conflict: ['target', 'text'],
  fold: ['target', 'into'],
  retire: ['target'],
  // Law L5: a memory may leave by a skip, but not without a word.
  skip: ['memories', 'reason'],
};

/**
 * Reads `{"ops": [...]}`, each operation by itself: one that is none costs itself alone. Pure, and takes any JSON.
 *
 * @param mostOps more are not read: an answer that goes on and on says nothing new
 */
export function readOperations(
  json: unknown,
  mostOps: number,
): { readonly value: ReadOperations } | { readonly problem: string } {
  const elements = elementsOf(json);
  if (elements === null) return { problem: 'The answer has to be one JSON object with a list "ops" of operations.' };
  if (elements.length === 0) return { problem: '"ops" is empty. Every memory has to be named by an operation.' };
  const ops: WrittenOp[] = [];
  const malformed: MalformedOp[] = [];
  for (const written of elements.slice(0, mostOps)) {
    const read = readElement(written);
    if ('op' in read) ops.push(read);
    else malformed.push(read);
  }
  if (elements.length > mostOps) {
    malformed.push({ memories: [], reason: `${elements.length} operations; those after ${mostOps} were not read` });
  }
  if (ops.length === 0) {
    return { problem: `No operation could be read. The first: ${malformed[0]?.reason ?? 'not an operation'}.` };
  }
  return { value: { ops, malformed } };
}

/** The list as asked for, or where some models put it: at the top, or a lone operation without a list. */
function elementsOf(json: unknown): readonly unknown[] | null {
  if (Array.isArray(json)) return json;
  if (typeof json !== 'object' || json === null) return null;
  if ('ops' in json) return Array.isArray(json.ops) ? json.ops : json.ops === null ? [] : [json.ops];
  return 'op' in json ? [json] : null;
}

function readElement(written: unknown): WrittenOp | MalformedOp {
  const parsed = element.safeParse(written);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path[0] === undefined ? 'the operation' : String(issue.path[0]);
    return { memories: memoriesIn(written), reason: `not an operation: ${where} is not what it should be` };
  }
  const { valid_from: validFrom, reason, text, ...fields } = parsed.data;
  const op: WrittenOp = {
    ...fields,
    memories: [...new Set(fields.memories)],
    text: cleaned(text),
    validFrom: validFrom?.trim().slice(0, mostNameCharacters) ?? null,
    reason: cleanReason(reason),
  };
  const missing = needs[op.op].find((field) => op[field] === null || op[field].length === 0);
  return missing === undefined ? op : { memories: op.memories, reason: `${op.op} without ${nameOf[missing]}` };
}

const nameOf = {
  target: 'a target',
  into: 'an observation to fold into',
  text: 'a text',
  memories: 'a memory',
  reason: 'a reason',
} as const;

/** Whose op it was, as far as that can be told, so that it is recorded with them. */
function memoriesIn(written: unknown): readonly Alias[] {
  if (typeof written !== 'object' || written === null || !('memories' in written)) return [];
  const parsed = memories.safeParse(written.memories);
  return parsed.success ? [...new Set(parsed.data)] : [];
}

/** Without control characters (PostgreSQL refuses NUL; the others are slips of a tokenizer) and halves of characters. */
function cleaned(text: string | null | undefined): string | null {
  if (text === null || text === undefined) return null;
  // Tab and line feed stay; with the flag u, Cs is a surrogate without its other half.
  const clean = text.replace(/(?![\t\n])\p{Cc}|\p{Cs}/gu, '').trim();
  return clean === '' ? null : clean;
}

/** Kept in the history and the timeline: short, and without secrets (law L20). */
export function cleanReason(reason: string | null | undefined): string {
  return scrubSecrets((cleaned(reason) ?? '').slice(0, mostReasonCharacters).toWellFormed()).value;
}
