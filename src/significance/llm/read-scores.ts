import { cleanText } from '../../consolidation/llm/prompt-text.ts';
import { secretMarker } from '../../models/scrub-secrets.ts';
import { isSignificance, type ScoreAnswer } from '../scorer.ts';

const mostEntities = 20;
const mostEntityCharacters = 100;

/** A memory of the batch, by its alias. */
export interface ShownMemory {
  readonly alias: string;
  /** All of it that the model has seen, as it has seen it. */
  readonly shown: string;
}

/**
 * Reads `{"scores": [{"alias", "significance", "entities"}]}`, each entry by itself: a score of 7, "high" or NaN, none at
 * all, or two that differ, cost that memory alone. Only an answer without one usable score is none. Pure, and takes any
 * JSON.
 *
 * @returns one answer for each memory, in their order
 */
export function readScores(
  json: unknown,
  memories: readonly ShownMemory[],
): { readonly value: readonly ScoreAnswer[] } | { readonly problem: string } {
  const entries = entriesOf(json);
  if (entries === null) {
    return { problem: 'The answer has to be one JSON object with a list "scores", an entry for each alias.' };
  }
  // A model that goes on and on says nothing new; what it says of aliases that were not shown goes to nobody.
  const byAlias = Map.groupBy(entries.slice(0, 4 * memories.length + 16), aliasOf);
  const answers = memories.map((memory) => answerFor(memory, byAlias.get(memory.alias) ?? []));
  if (answers.some(({ kind }) => kind === 'scored')) return { value: answers };
  const [first] = answers;
  const why = first?.kind === 'refused' ? first.why : 'nothing';
  return { problem: `It has no usable score for any alias shown. For the first: ${why}.` };
}

/** The list as asked for, or where some models put it. */
function entriesOf(json: unknown): readonly unknown[] | null {
  if (Array.isArray(json)) return json;
  if (typeof json !== 'object' || json === null) return null;
  if ('scores' in json) return Array.isArray(json.scores) ? json.scores : null;
  return 'alias' in json ? [json] : null;
}

function aliasOf(entry: unknown): string | null {
  if (typeof entry !== 'object' || entry === null || !('alias' in entry)) return null;
  return typeof entry.alias === 'string' && entry.alias.length <= 64 ? entry.alias.trim().toLowerCase() : null;
}

function answerFor(memory: ShownMemory, entries: readonly unknown[]): ScoreAnswer {
  const scores = new Set(entries.map((entry) => fieldOf(entry, 'significance')));
  const [score] = scores;
  if (scores.size === 0) return { kind: 'refused', why: 'no answer for it' };
  if (scores.size > 1) return { kind: 'refused', why: 'several answers for it that differ' };
  if (!isSignificance(score)) return { kind: 'refused', why: `a score of ${described(score)}` };
  return { kind: 'scored', significance: score, entities: entitiesIn(fieldOf(entries[0], 'entities'), memory.shown) };
}

function fieldOf(entry: unknown, name: 'significance' | 'entities'): unknown {
  if (typeof entry !== 'object' || entry === null || !(name in entry)) return undefined;
  return Object.getOwnPropertyDescriptor(entry, name)?.value;
}

/** What a model wrote is kept with a memory that is given up, so it is short and not its words. */
function described(score: unknown): string {
  switch (typeof score) {
    case 'number':
      return String(score);
    case 'string':
      return /^[\w.+-]{1,20}$/.test(score) ? `"${score}"` : 'some text';
    default:
      return score === undefined || score === null ? 'nothing' : `a ${typeof score}`;
  }
}

/** Names that stand in the text, each once: a model that adds what it knows of the world adds it to nobody's memory. */
function entitiesIn(list: unknown, shown: string): string[] {
  if (!Array.isArray(list)) return [];
  const said = folded(shown);
  const names = new Map<string, string>();
  for (const entry of list.slice(0, 2 * mostEntities)) {
    if (typeof entry !== 'string' || entry.length > mostEntityCharacters) continue;
    const name = cleanText(entry)
      .replace(/\p{Cc}/gu, ' ')
      .trim();
    const key = folded(name);
    if (key === '' || name.includes(secretMarker) || !said.includes(key) || names.has(key)) continue;
    names.set(key, name);
  }
  return [...names.values()].slice(0, mostEntities);
}

function folded(text: string): string {
  return text.normalize('NFC').replace(/\s+/gu, ' ').trim().toLowerCase();
}
