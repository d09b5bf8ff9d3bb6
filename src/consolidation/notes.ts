import { scrubSecrets } from '../models/scrub-secrets.ts';
import type { Alias } from './decider.ts';
import type { ValidatorName } from './validators/validator-name.ts';

/** An operation about a memory that was not taken, and why. */
export interface Refusal {
  /** `malformed` where it was no operation at all. */
  readonly op: string;
  /** What it wanted written. */
  readonly text: string | null;
  readonly validator: ValidatorName;
  readonly reason: string;
}

/** Of an op whose text, if it had one, was not the trouble. */
export function toRefusal({ op, validator, reason }: Omit<Refusal, 'text'>): Refusal {
  return { op, text: null, validator, reason };
}

/** A memory that is asked for again. */
export interface Unsettled {
  readonly alias: Alias;
  /** How often it came to nothing in earlier batches. */
  readonly attempts: number;
  /** What the answer before this one said of it and was refused; empty where it was left out; null the first time. */
  readonly refusals: readonly Refusal[] | null;
}

const refusalsEach = 3;
const longestQuote = 200;

/**
 * What a decider is told of its earlier answers, a sentence each, under the aliases of the batch it gets now. Pure. It
 * makes each request another one than those before it, whose answers are kept and would be all that came back.
 */
export function notesOn(memories: readonly Unsettled[]): string[] {
  return memories.flatMap(({ alias, attempts, refusals }) => [
    ...(attempts === 0 ? [] : [earlierBatches(alias, attempts)]),
    ...(refusals === null ? [] : thisBatch(alias, refusals)),
  ]);
}

function earlierBatches(alias: Alias, attempts: number): string {
  const answers = attempts === 1 ? 'answer' : 'answers';
  return `${alias}: ${attempts} earlier ${answers} settled nothing about it; say what to make of it, or skip it with a reason.`;
}

function thisBatch(alias: Alias, refusals: readonly Refusal[]): string[] {
  if (refusals.length === 0)
    return [`${alias} was left out of the last answer; name it, if only in a skip with a reason.`];
  return refusals.slice(0, refusalsEach).map((refusal) => noteOn(alias, refusal));
}

function noteOn(alias: Alias, { op, text, validator, reason }: Refusal): string {
  // What was refused for a secret is not said again (law L20).
  const quote = text === null || validator === 'secret' ? '' : ` "${clip(text)}"`;
  return `${alias}: the last ${op}${quote} was refused by ${validator}: ${clip(reason)}.`;
}

function clip(text: string): string {
  const { value: scrubbed } = scrubSecrets(text);
  return scrubbed.length <= longestQuote ? scrubbed : `${scrubbed.slice(0, longestQuote)}…`;
}
