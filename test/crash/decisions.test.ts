import { afterAll, describe, expect, test } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { createScriptedModel, type ScriptedModel } from '../support/scripted-model.ts';
import { killDaemons } from './daemon-process.ts';
import { createHome, createLane, type Lane, soon } from './lane.ts';
import { decisionPoints } from './points.ts';
import { seed } from './workload.ts';

/*
 * SIGKILL of the daemon in the middle of what a person decides: nothing has happened, and what is asked for again happens
 * as a whole.
 */

type Point = (typeof decisionPoints)[number];

const lanes: Lane[] = [];
const models: ScriptedModel[] = [];
async function openLane(variables: Readonly<Record<string, string>> = {}): Promise<Lane> {
  const lane = await createLane({ home: await createHome(variables), banks: 1 });
  lanes.push(lane);
  return lane;
}
afterAll(async () => {
  await Promise.allSettled([...lanes.map((lane) => lane.close()), ...models.map((model) => model.close())]);
  await killDaemons();
});

/** The daemon dies of the request; another is started, and finds everything as it was before. */
async function dieOf(lane: Lane, point: Point, bank: string, method: 'POST' | 'DELETE', path: string): Promise<void> {
  const before = await everythingOf(lane.db, bank);
  await lane.daemon.set({ point, visit: 1, does: 'die' });
  const answer = await lane.send(method, path, method === 'POST' ? {} : undefined);
  expect(answer, 'the daemon died before it answered').toBeNull();
  await soon('die', lane.daemon.exited);
  expect(lane.daemon.lines.at(-1)).toMatchObject({ msg: 'dying', point });
  await lane.revive();
  expect(await everythingOf(lane.db, bank)).toEqual(before);
}

async function answered(lane: Lane, method: 'POST' | 'DELETE', path: string): Promise<void> {
  const answer = await lane.send(method, path, method === 'POST' ? {} : undefined);
  expect(answer?.status, await answer?.text()).toBe(200);
}

const deaths: Readonly<Record<Point, () => Promise<void>>> = {
  async 'review:before-commit'() {
    const lane = await openLane({ ENGRAMD_APPLY: 'review' });
    const bank = await lane.seededBank();
    const [first, second] = await idsOf(
      lane.db,
      `select id from engram.change_sets where bank_id = $1 order by id`,
      bank,
    );
    expect(await statesOf(lane.db, bank)).toEqual({ proposed: seed.flat().length });
    for (const [id, verb] of [
      [first, 'approve'],
      [second, 'reject'],
    ] as const) {
      const path = `/v1/banks/${bank}/changes/${id}/${verb}`;
      await dieOf(lane, 'review:before-commit', bank, 'POST', path);
      await answered(lane, 'POST', path);
    }
    expect(await statesOf(lane.db, bank)).toEqual({ consolidated: 2, held: 2 });
  },

  async 'undo:before-commit'() {
    const lane = await openLane();
    const bank = await lane.seededBank();
    const [run] = await idsOf(lane.db, 'select id from engram.runs where bank_id = $1', bank);
    const path = `/v1/banks/${bank}/changes/${run}/undo`;
    await dieOf(lane, 'undo:before-commit', bank, 'POST', path);
    await answered(lane, 'POST', path);
    expect(await statesOf(lane.db, bank)).toEqual({ held: seed.flat().length });
    expect(await idsOf(lane.db, 'select id from engram.observations where bank_id = $1 and is_live', bank)).toEqual([]);
  },

  'forget:planned': () => forgetDyingAt('forget:planned'),

  'forget:before-commit': () => forgetDyingAt('forget:before-commit'),

  async 'switch:before-commit'() {
    const model = await createScriptedModel();
    models.push(model);
    const lane = await openLane({ OPENAI_BASE_URL: model.baseUrl, ENGRAMD_DECIDER: 'rules' });
    const bank = await lane.seededBank();
    const vectors = async () => {
      const { rows } = await lane.db.query<{ model: string }>(
        `select distinct embedding_model as model from engram.memories where bank_id = $1
         union select embedding_model from engram.observations where bank_id = $1
         union select id from engram.embedding_models where is_active`,
        [bank],
      );
      return rows.map((row) => row.model);
    };
    const before = await vectors();
    expect(before).toEqual(['local/fake-512']);
    await lane.daemon.set({ point: 'switch:before-commit', visit: 1, does: 'die' });
    const answer = await lane.send('POST', '/v1/embeddings/switch', { model: 'scripted-embedding' });
    expect(answer?.status).toBe(200);
    await soon('die', lane.daemon.exited);
    expect(await vectors()).toEqual(before);
    await lane.revive();
    // Nobody asks again: what was begun goes on.
    await lane.daemon.said('the embedding model of this database has changed');
    expect(await vectors()).toEqual(['openai/scripted-embedding']);
    const { rowCount } = await lane.db.query('select from engram.next_embeddings');
    expect(rowCount).toBe(0);
  },
};

describe.concurrent('SIGKILL in the middle of a decision: nothing by half', { timeout: 120_000 }, () => {
  test.for(decisionPoints)('%s', (point) => deaths[point]());
});

async function idsOf(db: Database, sql: string, bank: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(sql, [bank]);
  return rows.map(({ id }) => id);
}

async function statesOf(db: Database, bank: string): Promise<Record<string, number>> {
  const { rows } = await db.query<{ state: string; n: number }>(
    'select state, count(*)::int as n from engram.memories where bank_id = $1 group by 1',
    [bank],
  );
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
}

/** Every row of a bank that a decision may touch, as it stands. */
async function everythingOf(db: Database, bank: string): Promise<unknown> {
  const { rows } = await db.query(
    `select
       (select jsonb_agg(to_jsonb(m) order by m.id) from engram.memories m where m.bank_id = $1) as memories,
       (select jsonb_agg(to_jsonb(o) order by o.id) from engram.observations o where o.bank_id = $1) as observations,
       (select jsonb_agg(to_jsonb(l) order by l.observation_id, l.memory_id) from engram.observation_sources l
         where l.bank_id = $1) as links,
       (select jsonb_agg(to_jsonb(s) order by s.id) from engram.change_sets s where s.bank_id = $1) as sets,
       (select jsonb_agg(to_jsonb(c) order by c.change_set_id, c.seq) from engram.change_ops c where c.bank_id = $1) as ops,
       (select jsonb_agg(to_jsonb(c) order by c.id) from engram.conflicts c where c.bank_id = $1) as conflicts,
       (select jsonb_agg(to_jsonb(e) order by e.memory_id) from engram.erasures e where e.bank_id = $1) as erasures,
       (select jsonb_agg(to_jsonb(e) order by e.id) from engram.events e where e.bank_id = $1) as events`,
    [bank],
  );
  return rows[0];
}

async function forgetDyingAt(point: 'forget:planned' | 'forget:before-commit'): Promise<void> {
  const lane = await openLane();
  const bank = await lane.seededBank();
  const [memory] = await idsOf(lane.db, 'select id from engram.memories where bank_id = $1 order by id', bank);
  const told = JSON.stringify(await everythingOf(lane.db, bank));
  const text = seed[0]?.[0]?.text ?? '';
  expect(told).toContain(text);
  const path = `/v1/banks/${bank}/memories/${memory}`;
  await dieOf(lane, point, bank, 'DELETE', path);
  await answered(lane, 'DELETE', path);
  expect(JSON.stringify(await everythingOf(lane.db, bank))).not.toContain(text);
  const { rows: jobs } = await lane.db.query('select to_jsonb(j) as job from pgboss.job j');
  expect(JSON.stringify(jobs)).toContain(bank);
  expect(JSON.stringify(jobs)).not.toContain(text);
  expect(await idsOf(lane.db, 'select id from engram.memories where bank_id = $1', bank)).toHaveLength(
    seed.flat().length - 1,
  );
}
