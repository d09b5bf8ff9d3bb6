import { missingFrom, type ValueDifference } from '../values/compare-values.ts';
import { extractValues } from '../values/extract-values.ts';
import {
  citedMemories,
  isVerbatim,
  type JudgedOp,
  offeredText,
  replacedText,
  saidAt,
  type Validator,
} from './judged-op.ts';

/**
 * Numbers, dates and names: those of a text that is replaced survive in the new one, and the new one has none that no
 * source tells. A summary that loses the order number is worse than no summary.
 */
export const valuesPreserved: Validator = (judged) => {
  const lost = lostValues(judged);
  if (lost) return `the new text loses ${lost.kind} ${lost.detail}`;
  const invented = isVerbatim(judged) ? undefined : inventedValues(judged);
  return invented ? `no source tells ${invented.kind} ${invented.detail}` : null;
};

function lostValues(judged: JudgedOp): ValueDifference | undefined {
  const text = offeredText(judged.op);
  const held = replacedText(judged);
  if (text === null || held === null) return undefined;
  return missingFrom(extractValues(text), extractValues(held.text, held.validFrom)).find(isValue);
}

function inventedValues(judged: JudgedOp): ValueDifference | undefined {
  const text = offeredText(judged.op);
  if (text === null) return undefined;
  const held = replacedText(judged);
  const sources = [
    ...citedMemories(judged).map((memory) =>
      extractValues(memory.context === null ? memory.text : `${memory.text} ${memory.context}`, saidAt(memory)),
    ),
    ...(held ? [extractValues(held.text, held.validFrom)] : []),
  ];
  // Said by any one source is enough; what all of them lack is invented.
  const missing = sources.map((source) => missingFrom(source, extractValues(text)).filter(isValue));
  const [first, ...others] = missing;
  return first?.find((difference) =>
    others.every((list) => list.some((other) => other.kind === difference.kind && other.detail === difference.detail)),
  );
}

function isValue(difference: ValueDifference): boolean {
  return difference.kind !== 'negation';
}
