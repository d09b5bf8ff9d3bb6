import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decideIdle } from '../../src/lifecycle/idle-decision.ts';
import type { IdleFacts } from '../../src/lifecycle/idle-facts.ts';
import type { DeadLetters, StandingJob } from '../../src/queue/job-rows.ts';
import { type QueueFacts, workableOf } from '../../src/queue/workable.ts';
import type { DueWork } from '../../src/store/due-work.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { addMemories, createRig } from './queue-rig.ts';

const now = new Date('2026-03-01T12:00:00Z');
const inSeconds = (seconds: number) => new Date(now.getTime() + seconds * 1000);

function work(overrides: Partial<DueWork> = {}): DueWork {
  return {
    bankId: 'b',
    now,
    due: 3,
    replans: 0,
    oldestDueAt: inSeconds(-60),
    lastWriteAt: inSeconds(-60),
    nextAttemptAt: null,
    unembedded: false,
    unscored: 0,
    oldestUnscoredAt: null,
    lastUnscoredWriteAt: null,
    nextScoreAt: null,
    ...overrides,
  };
}

const nothingDue = { due: 0, replans: 0, oldestDueAt: null, lastWriteAt: null };

function job(overrides: Partial<StandingJob> = {}): StandingJob {
  return {
    id: '1',
    bankId: 'b',
    state: 'created',
    trigger: 'hint',
    startAfter: inSeconds(-10),
    createdAt: inSeconds(-40),
    ...overrides,
  };
}

const jobs = (...standing: StandingJob[]) => new Map(standing.map((each) => [each.bankId, each]));
const letters = (dead: DeadLetters) => new Map([['b', dead]]);

interface Facts {
  readonly work?: readonly DueWork[];
  readonly consolidating?: QueueFacts['jobs'];
  readonly embedding?: QueueFacts['jobs'];
  readonly scoring?: QueueFacts['jobs'];
  readonly deadConsolidating?: QueueFacts['dead'];
  readonly deadEmbedding?: QueueFacts['dead'];
  readonly deadScoring?: QueueFacts['dead'];
  readonly deciderReadyAt?: Date | null;
  readonly scorerReadyAt?: Date | null;
}

function workable(facts: Facts = {}) {
  const { work: works = [work()], deciderReadyAt = null, scorerReadyAt = null } = facts;
  const none = new Map<string, never>();
  return workableOf({
    work: works,
    queues: {
      consolidate: {
        jobs: facts.consolidating ?? none,
        dead: facts.deadConsolidating ?? none,
        readyAt: deciderReadyAt,
      },
      embed: { jobs: facts.embedding ?? none, dead: facts.deadEmbedding ?? none, readyAt: null },
      score: { jobs: facts.scoring ?? none, dead: facts.deadScoring ?? none, readyAt: scorerReadyAt },
    },
  });
}

const nothing = { rows: 0, scores: 0, banks: [], jobsActive: 0, nextAt: null, heldBy: null };

describe('the drain depth', () => {
  test('counts due memories and observations of every bank whose turn it is', () => {
    const facts = [work({ due: 3, replans: 2 }), work({ bankId: 'c', due: 1 })];
    expect(workable({ work: facts })).toEqual({ ...nothing, rows: 6, banks: ['b', 'c'] });
  });

  test('is nothing where nothing is due, now or later', () => {
    expect(workable({ work: [] })).toEqual(nothing);
  });

  test('is 0 with a wrong key or a spent budget, however many rows are due, and nothing is next before that ends', () => {
    const found = workable({ work: [work({ due: 1000 })], deciderReadyAt: inSeconds(300) });
    expect(found).toMatchObject({ rows: 0, banks: [], nextAt: inSeconds(300) });
    expect(found.heldBy).toContain('2026-03-01T12:05:00.000Z');
    // What comes due before that does not either.
    const later = [work({ ...nothingDue, nextAttemptAt: inSeconds(100) })];
    expect(workable({ work: later, deciderReadyAt: inSeconds(300) }).nextAt).toEqual(inSeconds(300));
    expect(workable({ work: [work({ due: 7 })], deciderReadyAt: inSeconds(-1) })).toMatchObject({
      rows: 7,
      heldBy: null,
    });
  });

  test('is 0 while a bank is written to; its quiet is what comes next', () => {
    const busy = work({ oldestDueAt: inSeconds(-10), lastWriteAt: inSeconds(-10) });
    expect(workable({ work: [busy] })).toMatchObject({
      rows: 0,
      nextAt: inSeconds(20),
      heldBy: 'their bank is being written to',
    });
    expect(workable({ work: [{ ...busy, due: 500 }] })).toMatchObject({ rows: 500, nextAt: null });
  });

  test('is 0 for rows whose job is deferred, until it starts; rows written since bring it forward', () => {
    const consolidating = jobs(job({ trigger: 'deferred', startAfter: inSeconds(600) }));
    expect(workable({ consolidating })).toMatchObject({
      rows: 0,
      nextAt: inSeconds(600),
      heldBy: 'something outside failed; their job is deferred',
    });
    const since = [work({ lastWriteAt: inSeconds(-35) })];
    expect(workable({ work: since, consolidating })).toMatchObject({ rows: 3, nextAt: null });
    expect(workable({ consolidating: jobs(job({ trigger: 'deferred' })) })).toMatchObject({ rows: 3 });
  });

  test('is 0 for a bank whose job failed, until it is tried again, or that has dead letters, until its hold ends', () => {
    const retried = jobs(job({ state: 'retry', startAfter: inSeconds(40) }));
    expect(workable({ consolidating: retried })).toMatchObject({
      rows: 0,
      nextAt: inSeconds(40),
      heldBy: expect.stringContaining('failed'),
    });
    const deadConsolidating = letters({ ids: ['x'], newestAt: inSeconds(-600) });
    expect(workable({ deadConsolidating })).toMatchObject({ rows: 0, nextAt: inSeconds(3000) });
    const held = jobs(job({ trigger: 'reconciler', startAfter: inSeconds(3000) }));
    expect(workable({ deadConsolidating, consolidating: held })).toMatchObject({ rows: 0, nextAt: inSeconds(3000) });
  });

  test('counts what is in somebody’s hands, and jobs that are brought forward', () => {
    const consolidating = jobs(job({ state: 'active' }));
    const embedding = jobs(job({ bankId: 'c', state: 'active' }));
    expect(workable({ consolidating, embedding })).toMatchObject({ rows: 3, jobsActive: 2 });
    expect(workable({ consolidating: jobs(job({ trigger: 'scheduled', startAfter: inSeconds(600) })) })).toMatchObject({
      rows: 3,
    });
  });

  test('counts a bank that only misses vectors as one, unless that is deferred or held', () => {
    const unembedded = [work({ ...nothingDue, unembedded: true })];
    expect(workable({ work: unembedded })).toMatchObject({ rows: 1, banks: ['b'] });
    expect(workable({ work: unembedded, deciderReadyAt: inSeconds(300) })).toMatchObject({ rows: 1, nextAt: null });
    const deferred = jobs(job({ trigger: 'deferred', startAfter: inSeconds(60) }));
    expect(workable({ work: unembedded, embedding: deferred })).toMatchObject({ rows: 0, nextAt: inSeconds(60) });
    const deadEmbedding = letters({ ids: ['x', 'y'], newestAt: inSeconds(-600) });
    expect(workable({ work: unembedded, deadEmbedding })).toMatchObject({ rows: 0, nextAt: inSeconds(6600) });
    expect(workable({ work: unembedded, embedding: jobs(job({ state: 'active' })) })).toMatchObject({ rows: 1 });
    // A memory that waits for both is one row.
    expect(workable({ work: [work({ unembedded: true })] })).toMatchObject({ rows: 3 });
  });

  test('comes next when the first of several banks does', () => {
    const facts = [
      work({ ...nothingDue, bankId: 'late', nextAttemptAt: inSeconds(900) }),
      work({ ...nothingDue, bankId: 'soon', nextAttemptAt: inSeconds(300) }),
    ];
    expect(workable({ work: facts })).toMatchObject({ rows: 0, nextAt: inSeconds(300), heldBy: null });
  });
});

describe('memories that only miss their score', () => {
  const unscored = (overrides: Partial<DueWork> = {}) =>
    work({
      ...nothingDue,
      unscored: 40,
      oldestUnscoredAt: inSeconds(-60),
      lastUnscoredWriteAt: inSeconds(-60),
      ...overrides,
    });

  test('count as one row a bank, whatever the decider says, and as many scores as they are', () => {
    const facts = [unscored(), unscored({ bankId: 'c', unscored: 2 })];
    expect(workable({ work: facts, deciderReadyAt: inSeconds(300) })).toEqual({
      ...nothing,
      rows: 2,
      scores: 42,
      banks: ['b', 'c'],
    });
    // A memory that waits for more than its score is one row.
    expect(workable({ work: [unscored({ due: 3, oldestDueAt: inSeconds(-60) })] })).toMatchObject({ rows: 3 });
  });

  test('1,000 unscored rows and a wrong key: nothing is workable, so that HIBERNATION is still reached', () => {
    const found = workable({ work: [unscored({ unscored: 1000 })], scorerReadyAt: inSeconds(300) });
    expect(found).toMatchObject({ rows: 0, scores: 0, banks: [], nextAt: inSeconds(300) });
    expect(found.heldBy).toContain('the scorer is out of order or over its budget until 2026-03-01T12:05:00.000Z');
    const facts: IdleFacts = {
      state: 'wake',
      secondsSinceWoken: 7200,
      idleSeconds: 7200,
      requestsInFlight: 0,
      workableRows: found.rows,
      jobsActive: found.jobsActive,
      forceAgeSeconds: null,
      wasForced: false,
      inQuietHours: false,
      cycle: 'none',
    };
    const thresholds = {
      drowsyAfterSeconds: 300,
      sleepAfterSeconds: 1800,
      hibernateAfterSeconds: 7200,
      hibernates: true,
    };
    expect(decideIdle(facts, thresholds).to).toBe('sleep');
    expect(decideIdle({ ...facts, state: 'sleep' }, thresholds).to).toBe('hibernation');
    expect(decideIdle({ ...facts, workableRows: 1 }, thresholds)).toMatchObject({ to: 'drowsy' });
  });

  test('rest while their job is deferred, tried again or held, while fewer than a batch are being written, and for their back-off', () => {
    const scoring = jobs(job({ trigger: 'deferred', startAfter: inSeconds(600) }));
    expect(workable({ work: [unscored()], scoring })).toMatchObject({
      rows: 0,
      nextAt: inSeconds(600),
      heldBy: 'something outside failed; their job is deferred',
    });
    const retried = jobs(job({ state: 'retry', startAfter: inSeconds(40) }));
    expect(workable({ work: [unscored()], scoring: retried })).toMatchObject({ rows: 0, nextAt: inSeconds(40) });
    const deadScoring = letters({ ids: ['x'], newestAt: inSeconds(-600) });
    expect(workable({ work: [unscored()], deadScoring })).toMatchObject({ rows: 0, nextAt: inSeconds(3000) });
    const fresh = { oldestUnscoredAt: inSeconds(-10), lastUnscoredWriteAt: inSeconds(-10) };
    expect(workable({ work: [unscored({ ...fresh, unscored: 11 })] })).toMatchObject({
      rows: 0,
      nextAt: inSeconds(20),
    });
    expect(workable({ work: [unscored({ ...fresh, unscored: 12 })] })).toMatchObject({ rows: 1, scores: 12 });
    const resting = unscored({ unscored: 0, oldestUnscoredAt: null, nextScoreAt: inSeconds(900) });
    expect(workable({ work: [resting] })).toEqual({ ...nothing, nextAt: inSeconds(900) });
  });
});

describe('of a store', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase({ poolMax: 1 });
  });
  afterAll(() => database.drop());

  test('is read from its rows and jobs, running or stopped; a failed look is no empty one', async () => {
    const { queue } = createRig(database.db);
    await queue.start({ handsOut: false });
    await addMemories(database.db, 'old', { count: 2, ageSeconds: 60 });
    await addMemories(database.db, 'new', { embedded: false });
    expect(await queue.workable()).toMatchObject({
      rows: 3,
      banks: expect.arrayContaining(['new', 'old']),
      jobsActive: 0,
    });
    await queue.stop();
    expect((await queue.workable()).rows).toBe(3);
    await database.db.query('alter table pgboss.job rename to gone');
    await expect(queue.workable()).rejects.toThrow('does not exist');
  });

  test('asks the decider', async () => {
    await database.db.query('alter table if exists pgboss.gone rename to job');
    const { queue } = createRig(database.db, { decider: { readyAt: async () => inSeconds(1e9) } });
    // Vectors are not the decider's.
    expect(await queue.workable()).toMatchObject({
      rows: 1,
      banks: ['new'],
      heldBy: expect.stringContaining('decider'),
    });
  });
});
