import { expect } from 'vitest';
import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import { encodeRealArray } from '../../src/store/vectors/vector-bytes.ts';
import { wordVector } from '../support/fake-embedder.ts';
import { type MemoryFixture, memoryAlias, type Workbench } from './workbench.ts';

/** One observation for each text, made by the pipeline itself. */
export async function observe(bench: Workbench, ...memories: readonly (string | MemoryFixture)[]): Promise<string[]> {
  const ids = await bench.remember(...memories);
  await bench.consolidate();
  return ids;
}

/** Remembers a text and lets the decider answer with these ops when it is shown it. */
export async function decide(
  bench: Workbench,
  text: string,
  ops: (batch: Batch, memory: string) => ProposedOp[],
  mentionedAt?: string,
) {
  const [id] = await bench.remember({ text, ...(mentionedAt === undefined ? {} : { mentionedAt }) });
  bench.decider.propose_ = (batch) => ops(batch, memoryAlias(batch, text));
  const report = await bench.consolidate();
  expect(bench.logged).toEqual([]);
  return { id: id ?? '', report };
}

/** The vector that an embedder gives to a text, as the store keeps it. */
export async function vectorOf(bench: Workbench, text: string): Promise<string> {
  const [row] = await bench.rows<{ digest: string }>('select md5(array_send($1::real[])) as digest', [
    encodeRealArray(wordVector(text)),
  ]);
  return row?.digest ?? '';
}
