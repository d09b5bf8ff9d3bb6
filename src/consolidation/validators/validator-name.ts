/** Every judge of a proposed operation. A metric label and a key of reports, so the set is closed. */
export const validatorNames = [
  'malformed-op',
  'alias-in-range',
  'source-exists',
  'depends-on-rejected',
  'values-preserved',
  'negation',
  'same-needs-values',
  'supersede-forward',
  'same-subject',
  'compression',
  'length-and-repetition',
  'secret',
  'prompt-echo',
  'retire-told',
  'loss-budget',
  'pinned',
] as const;

export type ValidatorName = (typeof validatorNames)[number];
