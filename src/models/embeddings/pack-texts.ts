export const requestLimits = { texts: 64, tokens: 8000 } as const;

/**
 * A token is about four bytes of English and three of Chinese. Not what the model has charged so far, though that is
 * nearer: the same text must be cut at the same place each time, or an observation in the words of a memory would have
 * another vector than the memory.
 */
export function estimateTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 3);
}

/**
 * Cuts texts into requests in their order: at most 64 texts and 8,000 tokens each. A text alone may be larger than that;
 * it has been cut to what the model takes before.
 *
 * @param tokensOf estimate for a text
 * @returns positions in `texts`, ascending; every position once
 */
export function packTexts(texts: readonly string[], tokensOf: (text: string) => number): number[][] {
  const requests: number[][] = [];
  let tokens = 0;
  for (const [position, text] of texts.entries()) {
    const own = tokensOf(text);
    const last = requests.at(-1);
    if (last && last.length < requestLimits.texts && tokens + own <= requestLimits.tokens) {
      last.push(position);
      tokens += own;
    } else {
      requests.push([position]);
      tokens = own;
    }
  }
  return requests;
}

/**
 * The beginning of a text of at most `maxTokens`, ended between words where it can be. Only what is embedded is cut: the
 * memory stays whole, and what lies behind the cut is found by full text.
 */
export function cutToTokens(text: string, maxTokens: number, tokensOf: (text: string) => number): string {
  const tokens = tokensOf(text);
  if (tokens <= maxTokens) return text;
  // Tokens are estimated by bytes, so that the share is nearly that of the characters; a tenth less for the rest.
  let length = Math.max(1, Math.floor(text.length * (maxTokens / tokens) * 0.9));
  let cut = wholeWords(text, length);
  while (tokensOf(cut) > maxTokens && length > 1) {
    length = Math.max(1, Math.floor(length / 2));
    cut = wholeWords(text, length);
  }
  return cut;
}

function wholeWords(text: string, length: number): string {
  if (length >= text.length) return text;
  const head = text.slice(0, length);
  // Never half of a surrogate pair: the endpoint would be sent something that is no text.
  const whole = /[\ud800-\udbff]$/.test(head) ? head.slice(0, -1) : head;
  const boundary = whole.search(/\s\S*$/);
  // A text without spaces (Chinese, a hash) has no words to keep.
  const words = boundary > length / 2 ? whole.slice(0, boundary) : whole;
  return words === '' ? [...text].slice(0, 1).join('') : words;
}
