import { canonicalSpelling } from '../values/spelling.ts';

/** Said by nobody to be remembered. A text is skipped only if it is made of nothing else. */
const phrases: ReadonlySet<string> = new Set(
  [
    'hi',
    'hey',
    'hello',
    'hi there',
    'hi again',
    'hello again',
    'hello hello',
    'morning',
    'that is all',
    'that is all for now',
    'have a good weekend',
    'have a good day',
    'have a great day',
    'anything else',
    'is there anything else i can help with',
    'reminder set',
    'hey there',
    'hello there',
    'good morning',
    'good afternoon',
    'good evening',
    'good night',
    'bye',
    'goodbye',
    'bye bye',
    'see you',
    'see you later',
    'see you soon',
    'talk to you later',
    'have a nice day',
    'thanks',
    'thank you',
    'thanks a lot',
    'thank you very much',
    'thank you so much',
    'many thanks',
    'thx',
    'ty',
    'cheers',
    'you are welcome',
    'welcome',
    'no problem',
    'my pleasure',
    'ok',
    'okay',
    'k',
    'alright',
    'all right',
    'sure',
    'great',
    'cool',
    'nice',
    'perfect',
    'awesome',
    'sounds good',
    'got it',
    'understood',
    'noted',
    'will do',
    'done',
    'hm',
    'hmm',
    'lol',
    'haha',
    'please',
    'sorry',
    'wow',
    'how are you',
    'how are you doing',
    'i am fine',
    'i am good',
    'nice to meet you',
    'no output',
    'empty',
    'ping',
    'pong',
    'test',
    'success',
    'command completed with no output',
    'tool ran without output or errors',
  ].map(asKey),
);

/**
 * Why a text is not worth an observation, or null. Very narrow on purpose: a memory that is skipped stays readable, but nothing
 * is ever built on it. "Yes" and "no" are not here: they may be somebody's answer.
 */
export function smallTalk(text: string): string | null {
  const spelled = canonicalSpelling(text);
  if (!/[\p{L}\p{N}]/u.test(spelled)) return 'no words';
  const parts = spelled
    .split(/[.,;:!?()[\]]+/u)
    .map(asKey)
    .filter((part) => part !== '');
  return parts.every((part) => phrases.has(part)) ? 'a greeting or acknowledgement, nothing else' : null;
}

function asKey(text: string): string {
  return (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).join(' ');
}
