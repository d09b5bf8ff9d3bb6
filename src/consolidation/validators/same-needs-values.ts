import { compareTexts, missingFrom } from '../values/compare-values.ts';
import { extractValues } from '../values/extract-values.ts';
import { citedMemories, type JudgedOp, saidAt, type Validator } from './judged-op.ts';

/** Law L9: whoever calls two texts the same loses no number, date, name or denial by keeping only one of them. */
export const sameNeedsValues: Validator = (judged) => {
  switch (judged.op.op) {
    case 'reinforce':
      return lostByReinforcing(judged, judged.op.target);
    case 'fold':
      return lostByFolding(judged, judged.op.target, judged.op.into);
    default:
      return null;
  }
};

function lostByReinforcing(judged: JudgedOp, target: string): string | null {
  const held = judged.standing.get(target);
  if (!held) return null;
  for (const memory of citedMemories(judged)) {
    if (memory.text === held.text) continue;
    const [lost] = missingFrom(extractValues(held.text, held.validFrom), extractValues(memory.text, saidAt(memory)));
    if (lost) return `${memory.alias} says otherwise: ${lost.kind} ${lost.detail}`;
  }
  return null;
}

function lostByFolding(judged: JudgedOp, target: string, into: string): string | null {
  const folded = judged.standing.get(target);
  const kept = judged.standing.get(into);
  if (!folded || !kept) return null;
  const [difference] = compareTexts(kept.text, folded.text, { a: kept.validFrom, b: folded.validFrom }).differences;
  return difference ? `they differ: ${difference.kind} ${difference.detail}` : null;
}
