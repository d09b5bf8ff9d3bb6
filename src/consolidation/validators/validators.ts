import { aliasInRange } from './alias-in-range.ts';
import { compression } from './compression.ts';
import type { Validator } from './judged-op.ts';
import { lengthAndRepetition } from './length-and-repetition.ts';
import { negation } from './negation.ts';
import { promptEcho } from './prompt-echo.ts';
import { retireTold } from './retire-told.ts';
import { sameNeedsValues } from './same-needs-values.ts';
import { sameSubject } from './same-subject.ts';
import { secret } from './secret.ts';
import { sourceExists } from './source-exists.ts';
import { supersedeForward } from './supersede-forward.ts';
import type { ValidatorName } from './validator-name.ts';
import { valuesPreserved } from './values-preserved.ts';

/**
 * The judges of a single op, in the order in which they are asked; the first that speaks is the one that is recorded.
 * Aliases come first, since the others look behind them.
 *
 * Three that the design names and that have no judge here:
 * - scope (law L7): it cannot be violated by an answer. A batch is of one scope, recall shows observations of that scope
 *   alone, an alias stands for nothing else, and apply compares the tags of every target again under its lock.
 * - trust-not-raised: no operation has a trust, and no statement writes `observations.trust`, which is 0 from its default
 *   on. There is nothing that an answer could raise. Whoever lets an operation carry one has to judge it here.
 * - loss-budget: a sum over the bank, judged where its rows are locked (`loss-budget.ts`, `apply.ts`).
 */
export const validators: readonly { readonly name: ValidatorName; readonly judge: Validator }[] = [
  { name: 'alias-in-range', judge: aliasInRange },
  { name: 'source-exists', judge: sourceExists },
  { name: 'length-and-repetition', judge: lengthAndRepetition },
  { name: 'secret', judge: secret },
  { name: 'prompt-echo', judge: promptEcho },
  { name: 'retire-told', judge: retireTold },
  { name: 'supersede-forward', judge: supersedeForward },
  { name: 'same-needs-values', judge: sameNeedsValues },
  { name: 'values-preserved', judge: valuesPreserved },
  { name: 'negation', judge: negation },
  { name: 'compression', judge: compression },
  { name: 'same-subject', judge: sameSubject },
];
