import { citedMemories, isVerbatim, offeredText, replacedText, type Validator } from './judged-op.ts';

/** A revision may drop filler, not a third of the text: one store lost 745 of 931 memories to shorter and shorter rewrites. */
const keptOfReplaced = 0.7;
/** A new text may be a facet of a long source; a tenth of the shortest is a headline. */
const keptOfShortest = 0.1;

export const compression: Validator = (judged) => {
  const text = offeredText(judged.op);
  if (text === null || isVerbatim(judged)) return null;
  const held = replacedText(judged);
  if (held && text.length < held.text.length * keptOfReplaced) {
    return `${text.length} characters in place of ${held.text.length}`;
  }
  const shortest = Math.min(...citedMemories(judged).map((memory) => memory.text.length));
  return Number.isFinite(shortest) && text.length < shortest * keptOfShortest
    ? `${text.length} characters out of sources of at least ${shortest}`
    : null;
};
