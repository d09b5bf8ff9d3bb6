import type { Alias, Batch, Proposal, ProposedOp } from '../decider.ts';
import { targetsNamed } from './alias-in-range.ts';
import { openingTexts, type StandingText } from './judged-op.ts';
import type { ValidatorName } from './validator-name.ts';
import { validators } from './validators.ts';

export interface JudgedProposal {
  /** In the order proposed. */
  readonly accepted: readonly ProposedOp[];
  readonly rejected: readonly { readonly op: ProposedOp; readonly validator: ValidatorName; readonly reason: string }[];
  /** Memories that no accepted op names: they make no progress by this answer (law L5). */
  readonly unnamed: readonly Alias[];
}

/**
 * Judges an answer op by op, as each stands in its place; one bad op costs that op and what was built on it, never the
 * others. Pure.
 */
export function validateProposal(batch: Batch, proposal: Proposal): JudgedProposal {
  const memories = new Map(batch.memories.map((memory) => [memory.alias, memory]));
  const standing = openingTexts(batch);
  const neverMade = new Set<Alias>();
  const accepted: ProposedOp[] = [];
  const rejected: JudgedProposal['rejected'][number][] = [];

  for (const op of proposal.ops) {
    const missing = targetsNamed(op).find((alias) => neverMade.has(alias));
    const verdict =
      missing === undefined
        ? firstObjection({ op, memories, standing })
        : { validator: 'depends-on-rejected' as const, reason: `${missing} was refused` };
    if (verdict !== null) {
      rejected.push({ op, ...verdict });
      if ('as' in op && !standing.has(op.as)) neverMade.add(op.as);
      continue;
    }
    accepted.push(op);
    takeEffect(op, standing);
  }

  const named = new Set(accepted.flatMap((op) => ('memories' in op ? op.memories : [])));
  return {
    accepted,
    rejected,
    unnamed: batch.memories.map((memory) => memory.alias).filter((alias) => !named.has(alias)),
  };
}

function firstObjection(judged: Parameters<(typeof validators)[number]['judge']>[0]) {
  for (const { name, judge } of validators) {
    const reason = judge(judged);
    if (reason !== null) return { validator: name, reason };
  }
  return null;
}

/** What later ops of the answer find. One that was superseded, folded or retired is no target any more. */
function takeEffect(op: ProposedOp, standing: Map<Alias, StandingText>): void {
  switch (op.op) {
    case 'create':
      // Superseded on arrival: nothing may be built on it.
      if (op.supersededBy === undefined) standing.set(op.as, { text: op.text, validFrom: op.validFrom });
      return;
    case 'conflict':
      standing.set(op.as, { text: op.text, validFrom: op.validFrom });
      return;
    case 'supersede':
      standing.delete(op.target);
      standing.set(op.as, { text: op.text, validFrom: op.validFrom });
      return;
    case 'revise': {
      const held = standing.get(op.target);
      if (held) standing.set(op.target, { ...held, text: op.text });
      return;
    }
    case 'fold':
    case 'retire':
      standing.delete(op.target);
      return;
    case 'reinforce':
    case 'skip':
      return;
    default:
      op satisfies never;
  }
}
