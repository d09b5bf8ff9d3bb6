import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deleteBank } from '../../src/store/banks.ts';
import { reserveCall, settleCall } from '../../src/store/model-calls.ts';
import { storeVerdict } from '../../src/store/verdicts.ts';
import { decide, observe } from '../consolidation/decide.ts';
import { observation } from '../consolidation/store-view.ts';
import { createWorkbench, observationAlias, type Workbench } from '../consolidation/workbench.ts';
import { curationOf, placesOf } from './curation-bench.ts';

/** What a model says when the memory that it was asked about has been forgotten meanwhile. */

let bench: Workbench;
let curation: Awaited<ReturnType<typeof curationOf>>;
beforeAll(async () => {
  bench = await createWorkbench();
  curation = await curationOf(bench);
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const signal = new AbortController().signal;
const secret = 'Ana keeps a zanzibar parrot';
const forget = (memoryId: string) => curation.forget({ bankId: bench.bankId, memoryId, signal });

/** A call about these rows, sent; returns what its answer does when it comes. */
async function send(...subjectIds: readonly string[]): Promise<() => Promise<unknown>> {
  const { db } = bench.database;
  const id = uuid();
  const requestHash = Buffer.from(id);
  await reserveCall(
    db,
    bench.bankId,
    {
      id,
      day: '2026-03-01',
      instanceId: uuid(),
      endpoint: 'http://model/v1',
      model: 'm',
      purpose: 'consolidate',
      requestHash,
      memories: 1,
      promptBytes: 10,
      most: { nanoUsd: 1, tokens: 1, unpricedTokens: 0 },
      probeId: null,
    },
    { nanoUsd: 1e9, tokens: null, unpricedTokens: 1 },
  );
  return () =>
    settleCall(db, bench.bankId, {
      id,
      outcome: 'ok',
      latencyMs: 1,
      spent: { nanoUsd: 1, tokens: 1, unpricedTokens: 0 },
      usage: null,
      answerJson: '"about the zanzibar parrot"',
      requestHash,
      subjectIds,
    });
}

const answers = async () =>
  (
    await bench.rows<{ n: number }>('select count(*)::int as n from engram.model_answers where bank_id = $1', [
      bench.bankId,
    ])
  )[0]?.n;

describe('an answer about a memory', () => {
  it('is kept while the memory is there, and erased with it', async () => {
    const [id = ''] = await bench.remember(secret);
    await (await send(id))();
    expect(await answers()).toBe(1);
    await forget(id);
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });

  it('is not kept when it comes after the memory was forgotten, and is paid all the same', async () => {
    const [id = ''] = await bench.remember(secret);
    const answer = await send(id);
    await forget(id);
    expect(await answer()).not.toBeNull();
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });

  it('is not kept when it comes just before the erasure commits', async () => {
    const [id = ''] = await bench.remember(secret);
    const answer = await send(id);
    const erasing = bench.races.hold('forget:before-commit');
    const forgetting = forget(id);
    await erasing.reached;
    await answer();
    erasing.release();
    await forgetting;
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });

  it('is not kept where an observation of it lives on, in other words', async () => {
    await observe(bench, 'Ana keeps a parrot');
    const { id: second } = await decide(bench, secret, (batch, m) => [
      {
        op: 'revise',
        target: observationAlias(batch, 'Ana keeps a parrot'),
        text: secret,
        memories: [m],
        reason: '',
      },
    ]);
    const { id } = await observation(bench, secret);
    const answer = await send(id);
    await forget(second);
    await answer();
    const verdict = { key: Buffer.from('k'), subjectIds: [id], verdict: 'different', reason: 'zanzibar' };
    const keep = bench.database.db.tx({ label: 'verdict' }, (tx) => storeVerdict(tx, bench.bankId, verdict));
    expect(await keep, 'a verdict over what it said before').toBe(false);
    expect(await observation(bench, 'Ana keeps a parrot')).toMatchObject({ id });
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });
});

it('a verdict that comes just before the erasure commits waits for it, and is not kept', async () => {
  const [id = ''] = await bench.remember(secret);
  const erasing = bench.races.hold('forget:before-commit');
  const forgetting = forget(id);
  await erasing.reached;
  const verdict = { key: Buffer.from('k'), subjectIds: [id], verdict: 'different', reason: 'zanzibar' };
  const storing = bench.database.db.tx({ label: 'verdict' }, (tx) => storeVerdict(tx, bench.bankId, verdict));
  erasing.release();
  await forgetting;
  expect(await storing).toBe(false);
  expect(await placesOf(bench, 'zanzibar')).toEqual([]);
});

it('a bank that is deleted takes answers and verdicts along and leaves what was spent, without a word of it', async () => {
  const { db } = bench.database;
  const [id = ''] = await observe(bench, secret);
  await (await send(id))();
  const verdict = { key: Buffer.from('k'), subjectIds: [id], verdict: 'different', reason: 'zanzibar' };
  expect(await db.tx({ label: 'verdict' }, (tx) => storeVerdict(tx, bench.bankId, verdict))).toBe(true);
  const spent = () => bench.rows('select id, nano_usd from engram.model_calls where bank_id = $1', [bench.bankId]);
  const before = await spent();
  expect(before).toHaveLength(1);
  await db.tx({ label: 'test' }, (tx) => deleteBank(tx, bench.bankId));
  expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  expect(await spent()).toEqual(before);
});
