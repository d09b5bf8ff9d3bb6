import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

/** Over the 3,000 tokens that observations may take of a batch, by four characters a token. */
const transcript = Array.from({ length: 1_800 }, (_, index) => `line${index}`).join(' ');

describe('an observation too long to be shown', () => {
  it('is shown all the same once an answer was lost to it, instead of losing answer after answer to it', async () => {
    const opened: boolean[] = [];
    bench.decider.propose_ = (batch) => {
      const [memory] = batch.memories;
      const [first] = batch.observations;
      if (!memory) return [];
      const twin = batch.observations.find((observation) => observation.text === transcript);
      if (memory.text.endsWith('again')) opened.push(twin !== undefined);
      const common = { memories: [memory.alias], reason: 'scripted' };
      if (twin && memory.text.endsWith('again')) return [{ op: 'reinforce', target: twin.alias, ...common }];
      if (first)
        return [{ op: 'conflict', target: first.alias, as: 'n1', text: memory.text, validFrom: null, ...common }];
      return [{ op: 'create', as: 'n1', text: memory.text, validFrom: null, ...common }];
    };
    for (const text of ['The tram is late', transcript]) {
      await bench.remember(text);
      await bench.consolidate();
    }
    await bench.remember(`${transcript} again`);
    const report = await bench.consolidate();

    expect(report.outcome).toBe('drained');
    expect(opened.at(0)).toBe(false);
    expect(opened.at(-1)).toBe(true);
    expect(
      await bench.rows('select state, attempts from engram.memories where bank_id = $1 and state <> $2', [
        bench.bankId,
        'consolidated',
      ]),
    ).toEqual([]);
  });

  it('rests, counted, where two batches in a row come to no end (L5)', async () => {
    await bench.remember('The tram is late');
    await bench.consolidate();
    const [id] = await bench.remember('The bus is late');
    // Somebody revises what the answer leans on, each time before it is applied.
    let round = 0;
    bench.decider.propose_ = async (batch) => {
      const [held] = batch.observations;
      const [memory] = batch.memories;
      if (!held || !memory) return [];
      round += 1;
      await bench.rows('update engram.observations set version = version + 1 where bank_id = $1', [bench.bankId]);
      return [{ op: 'revise', target: held.alias, text: memory.text, memories: [memory.alias], reason: 'scripted' }];
    };
    const report = await bench.consolidate();

    expect(report.outcome).toBe('drained');
    expect(round).toBe(12);
    expect(
      await bench.rows('select state, attempts, next_attempt_at > now() as rests from engram.memories where id = $1', [
        id,
      ]),
    ).toEqual([{ state: 'pending', attempts: 1, rests: true }]);
  });
});
