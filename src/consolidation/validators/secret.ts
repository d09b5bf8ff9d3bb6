import { scrubSecrets } from '../../models/scrub-secrets.ts';
import { offeredText, type Validator } from './judged-op.ts';

/** What looks like a secret is not written, wherever it came from (law L20). */
export const secret: Validator = ({ op }) => {
  const text = offeredText(op);
  return text !== null && scrubSecrets(text).removed > 0 ? 'the text holds what looks like a secret' : null;
};
