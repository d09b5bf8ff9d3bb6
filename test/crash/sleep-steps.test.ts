import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sleepStepNames } from '../../src/sleep/step.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import type { Death, DyingNights } from './dying-nights.ts';
import { cyclePoints } from './points.ts';

/*
 * SIGKILL of a sleep cycle at every racepoint of every step. Three nights are slept at once, each on a database of its
 * own, and die together: the first at the beginning of each step, the second in its middle, the third at its end. The
 * second is of a forced sleep, which does its steps no more often for that.
 */

const entry = new URL('./dying-nights.ts', import.meta.url).pathname;
const compileCache = new URL('../../node_modules/.cache/engramd-test', import.meta.url).pathname;
const inSteps = ['cycle:step-begun', 'cycle:step-saved', 'cycle:before-step-end'] as const;

let databases: TestDatabase[] = [];
beforeAll(async () => {
  databases = await Promise.all(inSteps.map(() => createTestDatabase({ poolMax: 1 })));
  for (const { db } of databases) await db.query('create table night_work (step text, piece int)');
  await databases[1]?.db.query('update engram.lifecycle set honoured_force_at = now()');
});
afterAll(async () => {
  await Promise.all(databases.map((database) => database.drop()));
});

async function sleep(deaths: readonly Death[]) {
  const nights = databases.map(({ connectionString }, index) => ({
    connectionString,
    trigger: index === 1 ? ('forced' as const) : ('idle' as const),
    death: deaths[index] ?? null,
  }));
  const child = fork(entry, [JSON.stringify({ nights } satisfies DyingNights)], {
    execArgv: [],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: compileCache },
  });
  child.disconnect();
  const [[code, signal], said] = await Promise.all([once(child, 'exit'), text(child.stdout ?? Readable.from([]))]);
  return {
    code,
    signal,
    lines: said
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
  };
}

const rows = async (sql: string) =>
  Promise.all(databases.map(async ({ db }) => (await db.query<Record<string, unknown>>(sql)).rows));

const killed = { code: null, signal: 'SIGKILL', lines: [] };

test('SIGKILL inside every step: the next run resumes at that step, what is done is not done again, and the cycle counts once', {
  timeout: 60_000,
}, async () => {
  const died = new Set<string>();
  const all = (point: (typeof cyclePoints)[number]) => {
    died.add(point);
    return inSteps.map(() => ({ point }));
  };
  expect(await sleep(all('cycle:begun'))).toEqual(killed);
  const standing = 'select name, status, runs from engram.sleep_steps order by position';
  for (const [index, step] of sleepStepNames.entries()) {
    for (const point of inSteps) died.add(point);
    expect(await sleep(inSteps.map((point) => ({ point, step })))).toEqual(killed);
    const before = sleepStepNames.slice(0, index).map((name) => ({ name, status: 'done', runs: 2 }));
    const after = sleepStepNames.slice(index + 1).map((name) => ({ name, status: 'pending', runs: 0 }));
    const expected = [...before, { name: step, status: 'running', runs: 1 }, ...after];
    expect(await rows(standing)).toEqual([expected, expected, expected]);
  }
  expect(await sleep(all('cycle:before-end'))).toEqual(killed);
  const { code, lines } = await sleep([]);
  expect(code).toBe(0);
  expect(lines).toHaveLength(3);
  for (const line of lines) {
    expect(line).toMatchObject({
      ended: { kind: 'finished', outcome: 'clean' },
      history: { started: 1, completed: 1 },
    });
  }
  const everyPiece = sleepStepNames.flatMap((step) => [
    { step, piece: 1 },
    { step, piece: 2 },
  ]);
  const done = await rows('select step, piece from night_work');
  for (const [index, pieces] of done.entries()) expect(pieces, inSteps[index]).toEqual(everyPiece);
  const runs = await rows(standing);
  for (const steps of runs) expect(steps.map((step) => step.runs)).toEqual(sleepStepNames.map(() => 2));
  // A death is a failure that the success after it clears.
  expect(await rows('select step from engram.step_failures')).toEqual([[], [], []]);
  expect([...died].sort()).toEqual([...cyclePoints].sort());
});
