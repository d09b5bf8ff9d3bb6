import { expect, it } from 'vitest';
import { createTokenRate } from '../../../src/models/token-rate.ts';

it('is cautious before the first answer and then what was charged', () => {
  const rate = createTokenRate();
  expect(rate.tokensPerByte()).toBe(0.3);
  rate.observe(4000, 1000);
  expect(rate.tokensPerByte()).toBe(0.25);
});

it('goes on from what earlier processes saw, and follows a change', () => {
  const rate = createTokenRate();
  rate.startFrom(0.25);
  expect(rate.tokensPerByte()).toBe(0.25);
  for (let n = 0; n < 300; n += 1) rate.observe(4000, 2000);
  expect(rate.tokensPerByte()).toBeCloseTo(0.5, 2);
});

it('takes no server at its word that counts nonsense', () => {
  const rate = createTokenRate();
  rate.observe(100, 0);
  rate.observe(0, 100);
  expect(rate.tokensPerByte()).toBe(0.3);
  rate.observe(4000, 1000);
  // More tokens than bytes, once, would count for hundreds of honest answers.
  rate.observe(100, 1_000_000);
  expect(rate.tokensPerByte()).toBe(0.25);
  const low = createTokenRate();
  low.observe(1_000_000, 1);
  expect(low.tokensPerByte()).toBe(0.05);
});
