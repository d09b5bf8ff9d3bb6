import { afterAll, expect, it } from 'vitest';
import { sleepStepNames } from '../../src/sleep/step.ts';
import { killDaemons } from './daemon-process.ts';
import { createHome, createLane, type Lane } from './lane.ts';

/*
 * The real daemon in the real steps: what is killed in a step goes on at that step, and the night ends once. The
 * checkpoints of each step, and every instant of the runner, are tried in sleep-steps.test.ts.
 */

let lane: Lane | undefined;
afterAll(async () => {
  await lane?.close();
  await killDaemons();
});

interface StepRow {
  readonly name: string;
  readonly status: string;
  readonly runs: number;
}

it('resumes at the step that it was killed in, each of them in one night', { timeout: 120_000 }, async () => {
  const variables = { ENGRAMD_DROWSY_AFTER: '1s', ENGRAMD_SLEEP_AFTER: '2s', ENGRAMD_HIBERNATE_AFTER: '1h' };
  lane = await createLane({ home: await createHome(variables), banks: 1 });
  const { db } = lane;
  await lane.seededBank();
  // The first death in the first step; from then on the step at hand is the first visit, and the next one the second.
  await lane.daemon.set({ point: 'cycle:before-step-end', visit: 1, does: 'die' });
  await db.query("update engram.lifecycle set woken_at = now() - interval '1 h'");
  for (const [index] of sleepStepNames.entries()) {
    const isLast = index === sleepStepNames.length - 1;
    await lane.revive(isLast ? {} : { trap: { point: 'cycle:before-step-end', visit: 2, does: 'die' } });
  }
  await expect
    .poll(() => db.query('select outcome from engram.sleep_cycles').then(({ rows }) => rows), { timeout: 30_000 })
    .toEqual([{ outcome: 'clean' }]);
  const { rows } = await db.query<StepRow>('select name, status, runs from engram.sleep_steps order by position');
  expect(rows).toEqual(sleepStepNames.map((name) => ({ name, status: 'done', runs: 2 })));
  expect(lane.deaths.map(({ signal }) => signal)).toEqual(sleepStepNames.map(() => 'SIGKILL'));
});
