import { isFunctionWord } from '../values/vocabulary.ts';
import type { Term } from './statement.ts';

/**
 * Whether the new text tells that a task went from the person whom the old text names: "Laura has taken over the on-call phone
 * from Dmitri" beside "the on-call phone is with Dmitri". Both the task and the old holder must be named in both.
 */
export function handsOver(held: readonly Term[], offered: readonly Term[]): boolean {
  const told = takenOver(offered);
  if (!told) return false;
  const isHeld = (term: Term) =>
    held.some((other) => other.word === term.word || (!term.capital && other.stem === term.stem));
  const content = told.task.filter((term) => !isFunctionWord(term.word));
  return (
    content.length > 0 &&
    content.every(isHeld) &&
    told.from.length > 0 &&
    told.from.every((term) => term.capital && isHeld(term)) &&
    held.length <= 10
  );
}

function takenOver(terms: readonly Term[]): { task: readonly Term[]; from: readonly Term[] } | null {
  const words = terms.map((term) => term.word);
  const over = words.findIndex((word, at) => word === 'over' && /^(?:taken|took|takes)$/u.test(words[at - 1] ?? ''));
  const from = words.lastIndexOf('from');
  if (over > 0 && from > over + 1) return { task: terms.slice(over + 1, from), from: terms.slice(from + 1) };
  if (over > 0 && words[over + 1] === 'from') {
    const as = words.indexOf('as', over);
    return as > over + 2 ? { task: terms.slice(as + 1), from: terms.slice(over + 2, as) } : null;
  }
  const replaced = words.findIndex(
    (word) => word === 'replaced' || word === 'replaces' || word === 'succeeded' || word === 'succeeds',
  );
  const as = words.indexOf('as', replaced);
  return replaced > 0 && as > replaced + 1 ? { task: terms.slice(as + 1), from: terms.slice(replaced + 1, as) } : null;
}
