import type { Alias, ProposedOp } from '../decider.ts';
import type { Validator } from './judged-op.ts';

/** Every alias stands for something at the op's place in the answer, and a new one is new. */
export const aliasInRange: Validator = ({ op, memories, standing }) => {
  if ('memories' in op) {
    const unknown = op.memories.find((alias) => !memories.has(alias));
    if (unknown !== undefined) return `no memory ${unknown} was shown`;
  }
  const unknown = targetsNamed(op).find((alias) => !standing.has(alias));
  if (unknown !== undefined) return `no observation ${unknown} was shown or created before`;
  if ('as' in op && (standing.has(op.as) || memories.has(op.as))) return `the alias ${op.as} is taken`;
  if (op.op === 'fold' && op.target === op.into) return 'an observation cannot be folded into itself';
  return null;
};

/** The observations that an op refers to. */
export function targetsNamed(op: ProposedOp): Alias[] {
  switch (op.op) {
    case 'create':
      return op.supersededBy === undefined ? [] : [op.supersededBy];
    case 'fold':
      return [op.target, op.into];
    case 'reinforce':
    case 'revise':
    case 'supersede':
    case 'conflict':
    case 'retire':
      return [op.target];
    case 'skip':
      return [];
    default:
      return op satisfies never;
  }
}
