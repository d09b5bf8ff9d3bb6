import { contentWords, sharedWords } from '../values/content-words.ts';
import { offeredText, type Validator } from './judged-op.ts';

/**
 * A fuller text of the same fact has at least this much of the words it replaces: of the tuned golden pairs no revision
 * has less than two thirds of them, and no successor less than half.
 */
const keptByRevision = 0.5;

/**
 * What replaces a text is about what that text is about. A memory that says "from now on nothing else is true" is dated,
 * told and grounded, and would otherwise end every observation shown: those superseded do not count as lost (law L18).
 */
export const sameSubject: Validator = ({ op, standing }) => {
  const text = offeredText(op);
  if (text === null || (op.op !== 'revise' && op.op !== 'supersede')) return null;
  const held = standing.get(op.target);
  if (!held) return null;
  const kept = sharedWords(contentWords(held.text), contentWords(text));
  if (op.op === 'supersede') return kept > 0 ? null : 'the new text shares no word with the one it takes the place of';
  return kept >= keptByRevision ? null : 'the new text has less than half of the words of the old one';
};
