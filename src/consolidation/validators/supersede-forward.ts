import type { Validator } from './judged-op.ts';

/** Only a later value supersedes an earlier one. Two that cannot be put in order contradict each other instead. */
export const supersedeForward: Validator = ({ op, standing }) => {
  if (op.op === 'supersede') return orderOf(standing.get(op.target)?.validFrom, op.validFrom);
  if (op.op === 'create' && op.supersededBy !== undefined) {
    return orderOf(op.validFrom, standing.get(op.supersededBy)?.validFrom);
  }
  return null;
};

function orderOf(earlier: Date | null | undefined, later: Date | null | undefined): string | null {
  if (!earlier || !later) return 'without a date on both sides neither is the later one';
  return later.getTime() > earlier.getTime() ? null : 'it is not the later one';
}
