import type { Decider } from './decider.ts';

/** Grows when the judges may come to another verdict over the same answer. */
const validatorsVersion = 'validators/1';

/**
 * Names everything but the texts that a decision depends on: decider, prompt, model, judges. Two decisions over the same
 * texts under one key come out alike, so the second one need not be made.
 */
export function decisionKey(decider: Pick<Decider, 'name'>): string {
  return `${decider.name} ${validatorsVersion}`;
}
