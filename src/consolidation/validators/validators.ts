import { aliasInRange } from './alias-in-range.ts';
import { compression } from './compression.ts';
import type { Validator } from './judged-op.ts';
import { lengthAndRepetition } from './length-and-repetition.ts';
import { negation } from './negation.ts';
import { sameNeedsValues } from './same-needs-values.ts';
import { secret } from './secret.ts';
import { sourceExists } from './source-exists.ts';
import { supersedeForward } from './supersede-forward.ts';
import type { ValidatorName } from './validator-name.ts';
import { valuesPreserved } from './values-preserved.ts';

/**
 * The judges of a single op, in the order in which they are asked; the first that speaks is the one that is recorded.
 * Aliases come first, since the others look behind them.
 */
export const validators: readonly { readonly name: ValidatorName; readonly judge: Validator }[] = [
  { name: 'alias-in-range', judge: aliasInRange },
  { name: 'source-exists', judge: sourceExists },
  { name: 'length-and-repetition', judge: lengthAndRepetition },
  { name: 'secret', judge: secret },
  { name: 'supersede-forward', judge: supersedeForward },
  { name: 'same-needs-values', judge: sameNeedsValues },
  { name: 'values-preserved', judge: valuesPreserved },
  { name: 'negation', judge: negation },
  { name: 'compression', judge: compression },
];
