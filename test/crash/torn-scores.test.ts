import { fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import type { RacepointName } from '../../src/telemetry/racepoints.ts';
import { createLlmBench } from '../significance/llm-bench.ts';
import { llmScorerOf } from '../significance/llm-scorer-of.ts';
import { compileCache } from './daemon-process.ts';
import type { DyingScorerOrder } from './dying-scorer.ts';

/* SIGKILL of a real process between answer, score, pin, eviction and event. */

const { bench, model } = await createLlmBench();

/** The signal that ended a process of its own. */
async function dies(order: Pick<DyingScorerOrder, 'diesAt' | 'pins'>): Promise<unknown> {
  const all: DyingScorerOrder = {
    connectionString: bench.database.connectionString,
    bankId: bench.bankId,
    baseUrl: model.baseUrl,
    ...order,
  };
  const child = fork(new URL('./dying-scorer.ts', import.meta.url).pathname, [JSON.stringify(all)], {
    execArgv: [],
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: compileCache },
  });
  const [, signal] = await once(child, 'exit');
  return signal;
}

/** What the next process does. */
async function scoreAgain(): Promise<void> {
  const scorer = await llmScorerOf({ db: bench.db, baseUrl: model.baseUrl });
  await bench.scoreAll(createSignificanceEngine({ ...bench.deps, scorer }));
}

const standing = async () =>
  (await bench.memories()).map(({ significance, isScored, pin }) => [significance, isScored, pin]);

const facts = ['a', 'b', 'c', 'd'].map((name) => `Remember that door ${name} is never locked.`);

test.each<RacepointName>(['score:called', 'score:before-commit'])(
  'tore score and pin apart, evicted twice on a re-run, paid twice: killed at %s',
  async (diesAt) => {
    await bench.remember(...facts);
    expect(await dies({ diesAt, pins: null })).toBe('SIGKILL');
    expect(await standing()).toEqual(facts.map(() => [null, false, null]));
    expect(await bench.events()).toEqual([]);

    await scoreAgain();
    expect(await standing()).toEqual([
      [3, true, null],
      [3, true, 'auto'],
      [3, true, 'auto'],
      [3, true, 'auto'],
    ]);
    const kinds = (await bench.events()).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === 'memory.evicted')).toHaveLength(1);
    expect(kinds).toHaveLength(4 + 4 + 1);
    expect(model.count.chat).toBe(1);

    await scoreAgain();
    expect(await bench.events()).toHaveLength(kinds.length);
  },
);

test('tore pin and eviction apart: killed before the commit of a pin by hand, then pinned again', async () => {
  const [plain = '', oldest, ...others] = await bench.remember('1: x', ...facts.slice(1));
  await scoreAgain();
  const before = await bench.events();
  expect(await dies({ diesAt: 'pin:before-commit', pins: plain })).toBe('SIGKILL');
  expect(await bench.events()).toEqual(before);
  expect(await bench.pins('auto')).toEqual([oldest, ...others]);

  await bench.pin(plain);
  expect(await bench.pins('manual')).toEqual([plain]);
  expect(await bench.pins('auto')).toEqual(others);
  expect((await bench.events()).slice(before.length).map(({ kind, memory }) => [kind, memory])).toEqual([
    ['memory.pinned', plain],
    ['memory.evicted', oldest],
  ]);
});
