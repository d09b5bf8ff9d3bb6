import { compareTexts, type ValueDifference } from '../values/compare-values.ts';
import { citedMemories, isVerbatim, offeredText, replacedText, saidAt, type Validator } from './judged-op.ts';

/** A text does not deny what its sources affirm, nor the other way round. */
export const negation: Validator = (judged) => {
  const text = offeredText(judged.op);
  if (text === null) return null;
  const held = replacedText(judged);
  if (held && compareTexts(held.text, text).differences.some(isNegation))
    return 'the new text denies what the old one says';
  if (isVerbatim(judged)) return null;
  const sources = citedMemories(judged);
  const denied = sources.filter((memory) =>
    compareTexts(memory.text, text, { a: saidAt(memory) }).differences.some(isNegation),
  );
  return sources.length > 0 && denied.length === sources.length ? 'the text denies what its sources say' : null;
};

function isNegation(difference: ValueDifference): boolean {
  return difference.kind === 'negation';
}
