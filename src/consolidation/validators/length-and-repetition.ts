import { citedMemories, isVerbatim, offeredText, replacedText, type Validator } from './judged-op.ts';

/** The limit of a memory: nothing made of memories is longer than one may be. */
const maxBytes = 16 * 1024;
/** A model that runs on writes more than it was given; this much more is taken for an explanation. */
const allowance = 400;
/** Judged from here on: short texts repeat words for good reasons. */
const wordsToJudge = 40;
/** English prose of forty words and more has well over a third of them different. */
const leastDistinctShare = 0.2;

export const lengthAndRepetition: Validator = (judged) => {
  const text = offeredText(judged.op);
  if (text === null) return null;
  if (text.trim() === '') return 'the text is empty';
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) return `${bytes} bytes; the limit is ${maxBytes}`;
  // What somebody wrote is not judged for its style.
  if (isVerbatim(judged)) return null;
  const given = citedMemories(judged).reduce(
    (sum, memory) => sum + memory.text.length,
    replacedText(judged)?.text.length ?? 0,
  );
  if (text.length > given * 2 + allowance) return `${text.length} characters made of ${given}`;
  const words = text.toLowerCase().split(/\s+/u).filter(Boolean);
  return words.length >= wordsToJudge && new Set(words).size < words.length * leastDistinctShare
    ? 'the same words over and over'
    : null;
};
