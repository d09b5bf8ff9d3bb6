import type { Validator } from './judged-op.ts';

/** What is written or strengthened cites at least one memory of the batch: an observation nobody told is an invention. */
export const sourceExists: Validator = ({ op }) =>
  'memories' in op && op.memories.length === 0 ? 'it cites no memory' : null;
