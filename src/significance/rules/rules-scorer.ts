import { smallTalk } from '../../consolidation/rules/small-talk.ts';
import { canonicalSpelling } from '../../consolidation/values/spelling.ts';
import { tokensOf } from '../../consolidation/values/tokens.ts';
import type { ScorableMemory, Scorer, Significance } from '../scorer.ts';
import { namedEntities } from './named-entities.ts';
import { type Signal, signalsOf } from './signals.ts';

/** A change of a rule makes a new version. Scores that stand are not asked for again by it. */
const version = 1;

/**
 * The scorer that needs no model. Pure, the same for ever, and sober: it looks at one memory at a time, at its text and
 * nothing else (of a long one at its beginning), sentence by sentence, and only in English.
 *
 * - 0: greetings, thanks, acknowledgements, an empty tool result; nothing but questions.
 * - 3: what must not be forgotten. Somebody asks for it ("remember that …", "don't forget …"); a life may hang on it
 *   (an allergy, insulin, a pacemaker); it must never be done ("must never", "under no circumstances", "never deploy
 *   without …"). A denial right before its word ("not allergic to nuts") makes a danger a 2.
 * - 2: what matters beyond the day. Health and diet; family; standing rules ("always …", "from now on …") and
 *   preferences; name, home, work and birthday; a commitment with a date ("the lease ends on 30 June").
 * - 1: everything else, every plain fact.
 *
 * A sentence that asks ("is she allergic?") says nothing of the kind. Exclamation marks, capitals and words like
 * "important" raise nothing: who writes them writes them often.
 */
export function createRulesScorer(): Scorer {
  return {
    name: 'rules',
    scoredBy: `rules/${version}`,
    batchSize: 100,
    readyAt: async () => null,
    score: async (_bankId, memories) =>
      memories.map((memory) => ({
        kind: 'scored',
        significance: significanceByRules(memory),
        entities: namedEntities(memory.text.slice(0, mostCharacters)),
      })),
  };
}

export function significanceByRules({
  text: whole,
  mentionedAt,
}: Pick<ScorableMemory, 'text' | 'mentionedAt'>): Significance {
  const text = whole.slice(0, mostCharacters);
  if (smallTalk(text) !== null) return 0;
  const said = sentencesOf(text).filter((sentence) => !sentence.endsWith('?'));
  if (said.length === 0) return 0;
  const weights = new Set(said.map((sentence) => weightOf(sentence, mentionedAt)));
  return weights.has(3) ? 3 : weights.has(2) ? 2 : 1;
}

/** A text may be a whole file. What it is about is said by then. */
const mostCharacters = 4_000;

/** A new line that goes on in lower case is a wrapped one; any other begins a sentence: of a list, or of a chat. */
const lineEnd = /\n(?=[^\S\n]*(?:\n|[^\s\p{Ll}]))/u;

function sentencesOf(text: string): string[] {
  return text
    .split(lineEnd)
    .flatMap((line) => canonicalSpelling(line).split(/(?<=[.!?])\s+/u))
    .map((sentence) => sentence.replace(/^[\s*•–—-]+/u, '').trim())
    .filter((sentence) => sentence !== '');
}

function weightOf(sentence: string, mentionedAt: Date | null): Significance {
  const hasDate = tokensOf(sentence, mentionedAt).some(({ value }) => value?.kind === 'date');
  return weigh(signalsOf(sentence.toLowerCase(), hasDate));
}

function weigh(signals: ReadonlySet<Signal>): Significance {
  if (signals.has('wish') || signals.has('danger') || signals.has('prohibition')) return 3;
  return signals.size > 0 ? 2 : 1;
}
