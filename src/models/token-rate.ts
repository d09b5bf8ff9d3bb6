/** English prose has a token to four bytes; markup, names and other scripts have more. */
const cautiousTokensPerByte = 0.3;

/** Of the tokens counted so far, what remains after each answer: a model's last fifty or so calls count. */
const decay = 0.98;

/** What a model has charged for its prompts. */
export interface TokenRate {
  tokensPerByte(): number;
  observe(promptBytes: number, promptTokens: number): void;
  /** Of earlier processes; counts like fifty answers of that length. */
  startFrom(tokensPerByte: number): void;
}

export function createTokenRate(): TokenRate {
  let bytes = 0;
  let tokens = 0;
  return {
    // A server that counts badly shall not make prompts that overflow, or that hold a word.
    tokensPerByte: () => (bytes === 0 ? cautiousTokensPerByte : Math.min(1, Math.max(0.05, tokens / bytes))),
    observe(promptBytes, promptTokens) {
      // No tokenizer makes more tokens than there are bytes: whoever says so counts something else.
      if (promptTokens <= 0 || promptTokens > promptBytes) return;
      bytes = bytes * decay + promptBytes;
      tokens = tokens * decay + promptTokens;
    },
    startFrom(tokensPerByte) {
      // As long as 50 prompts of 4 kB; beside what has been seen since.
      const known = 200_000;
      bytes += known;
      tokens += known * tokensPerByte;
    },
  };
}
