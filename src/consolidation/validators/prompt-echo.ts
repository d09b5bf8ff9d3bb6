import { adjudicateSystem } from '../llm/prompts/adjudicate-prompt.ts';
import { consolidateSystem } from '../llm/prompts/consolidate-prompt.ts';
import { rewriteSystem } from '../llm/prompts/rewrite-prompt.ts';
import { citedMemories, isVerbatim, offeredText, replacedText, type Validator } from './judged-op.ts';

/** As many words of a prompt in a row are no chance. */
const runLength = 6;
const promptRuns = new Set([consolidateSystem, adjudicateSystem, rewriteSystem].flatMap(runsOf));
/** Keys of the documents that models are shown and answer with. */
const keys = /"(?:op|ops|target|memories|valid_from|observations|mentioned_at)"\s*:/u;

/**
 * A text of the store is about the world, not about the prompt. Models that lose the thread write "m1 says that …", repeat
 * their instructions or put the JSON of the answer into its text; from there it would be recalled as knowledge. What a
 * source says itself may be said again.
 */
export const promptEcho: Validator = (judged) => {
  const text = offeredText(judged.op);
  if (text === null || isVerbatim(judged)) return null;
  const sources = [
    ...citedMemories(judged).flatMap(({ text: told, context }) => [told, context ?? '']),
    replacedText(judged)?.text ?? '',
  ].join('\n');
  const told = new Set(wordsOf(sources));
  const alias = wordsOf(text).find(
    (word) => (judged.memories.has(word) || judged.standing.has(word)) && !told.has(word),
  );
  if (alias !== undefined) return `the text names ${alias}, which is an alias of the prompt`;
  if (keys.test(text) && !keys.test(sources)) return 'the text holds a piece of an answer';
  const toldRuns = new Set(runsOf(sources));
  return runsOf(text).some((run) => promptRuns.has(run) && !toldRuns.has(run))
    ? 'the text repeats the instructions'
    : null;
};

/** As written: M1 is a processor, m1 an alias. */
function wordsOf(text: string): string[] {
  return text.match(/[\p{L}\p{N}_]+/gu) ?? [];
}

function runsOf(text: string): string[] {
  const words = wordsOf(text.toLowerCase());
  return words.slice(runLength - 1).map((_, at) => words.slice(at, at + runLength).join(' '));
}
