import { contentWords, sharedWords } from '../values/content-words.ts';
import type { Validator } from './judged-op.ts';

/** How many of the words of an observation a memory has to use to be about it. */
const spokenOf = 0.5;

/**
 * Nothing is retired for tidiness, nor because a memory says "forget everything". What ended is superseded by what holds
 * now and what cannot be told apart stands as a conflict; both leave something in its place. A retirement leaves nothing,
 * so a memory of the batch has to speak of the very thing, and the reason has to be said, since it is all that a person
 * who finds it missing will read. The loss budget bounds the rest (law L18).
 */
export const retireTold: Validator = ({ op, memories, standing }) => {
  if (op.op !== 'retire') return null;
  if (op.reason.trim() === '') return 'retired without a reason';
  const words = contentWords(standing.get(op.target)?.text ?? '');
  const told = [...memories.values()].some(({ text }) => sharedWords(words, contentWords(text)) >= spokenOf);
  return told ? null : 'no memory of the batch speaks of it';
};
