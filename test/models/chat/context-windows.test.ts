import { expect, it } from 'vitest';
import { sharesOf } from '../../../src/consolidation/llm/limits.ts';
import { contextWindowOf } from '../../../src/models/chat/context-windows.ts';

it.each([
  ['gpt-5-mini', 400_000],
  ['gpt-5.2', 400_000],
  ['gpt-4o-mini-2024-07-18', 128_000],
  ['gpt-4.1-nano', 1_047_576],
  ['gpt-4', 8192],
  ['gpt-4-turbo-2024-04-09', 10_096],
  ['claude-3-haiku-20240307', 10_096],
  ['claude-3-5-haiku-latest', 200_000],
  ['openai/gpt-4o', 128_000],
  ['o3-mini', 200_000],
  ['O1-mini', 128_000],
  ['claude-sonnet-4-5', 200_000],
  ['gpt-50', 8192],
  ['llama3.2:3b', 8192],
  ['mistral-large:latest', 8192],
  ['constructor', 8192],
  ['my-finetune', 8192],
])('%s has %d tokens', (model, tokens) => {
  expect(contextWindowOf(model)).toBe(tokens);
});

it('leaves models of short answers no more room than they fill', () => {
  for (const model of ['gpt-4-turbo', 'gpt-3.5-turbo', 'gpt-4o-2024-05-13', 'claude-3-opus-20240229']) {
    expect(sharesOf(contextWindowOf(model)).answerTokens).toBeLessThanOrEqual(4096);
  }
});
