import { prepositions } from '../values/vocabulary.ts';
import type { Attribute } from './attributes.ts';
import type { Slot } from './slot.ts';
import type { Term } from './statement.ts';

/** Verbs that choose one among several. "Likes" and "loves" do not: who likes tea may like coffee. */
const choosing = new Set(['prefer', 'want', 'choose', 'favor']);
/**
 * From which cosine two bare preferences are of one kind. "Prefers tea" and "prefers coffee" are at 0.92 with
 * local/use-512, "prefers tea" and "prefers trains" well below; only here does cosine say more than lexical overlap can.
 */
const oneKindSimilarity = 0.85;

/**
 * A preference in which only the choice differs: "wants her reports as …", "prefers … mode". The topic must be told by other
 * words than the choice, or the two may be about different things.
 */
export function preferenceOf(
  before: readonly Term[],
  after: readonly Term[],
  slot: Slot,
  similarity: number,
): Attribute | null {
  const verb = before.findIndex((term, at) => at > 0 && choosing.has(term.stem));
  if (verb < 0 || slot.terms.length > 2) return null;
  const topic = before.slice(verb + 1);
  const attribute: Attribute = {
    name: before
      .slice(verb)
      .map((term) => term.stem)
      .join(' '),
    kinds: [slot.kind],
    undated: 'conflict',
  };
  const last = topic.at(-1);
  if (last && topic.length > 1 && prepositions.has(last.word) && after.length === 0) return attribute;
  const head = after[0];
  if (topic.length === 0 && head && head.lead === '' && !prepositions.has(head.word) && slot.terms.length === 1)
    return attribute;
  const bare =
    before[verb]?.stem === 'prefer' &&
    topic.length === 0 &&
    after.length === 0 &&
    slot.terms.length === 1 &&
    slot.kind === 'phrase';
  return bare && similarity >= oneKindSimilarity ? attribute : null;
}
