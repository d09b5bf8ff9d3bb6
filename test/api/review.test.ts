import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import type { changeSetSchema, conflictSchema, memorySchema } from '../../src/api/schemas.ts';
import { createConsolidationEngine } from '../../src/consolidation/create-engine.ts';
import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import { memoryAlias, observationAlias, ScriptedDecider } from '../consolidation/workbench.ts';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

let fixture: ApiFixture;
const bank = '/v1/banks/home';
const nobody = '01890000-0000-7000-8000-00000000dead';
const decider = new ScriptedDecider();

type ChangeSet = z.output<typeof changeSetSchema>;

beforeAll(async () => {
  fixture = await createApiFixture();
});
afterAll(() => fixture.close());

async function say(apply: 'auto' | 'review', text: string, ops?: (batch: Batch, memory: string) => ProposedOp[]) {
  const { deps } = fixture;
  decider.reset();
  if (ops) decider.propose_ = (batch) => ops(batch, memoryAlias(batch, text));
  const engine = createConsolidationEngine({
    ...deps,
    decider,
    instanceId: deps.instance.id,
    concurrency: 1,
    apply,
    random: () => 0.5,
  });
  await fixture.post(`${bank}/memories`, [{ text }]);
  await fixture.embed('home');
  const { runId } = await engine.runSlice({
    bankId: 'home',
    trigger: 'requested',
    signal: new AbortController().signal,
  });
  const { changes } = bodyOf<{ changes: ChangeSet[] }>(await fixture.get(`${bank}/changes?limit=1`));
  return { id: changes[0]?.id ?? '', runId };
}

async function decide(id: string, what: 'approve' | 'reject' | 'undo', body: object = {}) {
  const response = await fixture.post(`${bank}/changes/${id}/${what}`, body);
  return { status: response.statusCode, body: bodyOf(response) };
}

async function stateOf(text: string) {
  const { memories } = bodyOf<{ memories: z.output<typeof memorySchema>[] }>(await fixture.get(`${bank}/memories`));
  return memories.find((memory) => memory.text === text)?.state;
}

async function set(id: string) {
  return bodyOf<ChangeSet & { steps: { status: string; group: number; after_text: string }[] }>(
    await fixture.get(`${bank}/changes/${id}`),
  );
}

test('an id in capital letters is the same id, also where an op is named', async () => {
  const { id } = await say('auto', 'Ida keeps bees');
  const undone = await decide(id.toUpperCase(), 'undo', { op: 1 });
  expect(undone).toMatchObject({ status: 200, body: { changes: [{ undoes: id, ops: 1 }] } });
});

describe('a proposal', () => {
  test('shows what it would do, is approved once, and undone', async () => {
    const { id, runId } = await say('review', 'Ann drinks tea');
    expect(await set(id)).toMatchObject({
      kind: 'consolidation',
      status: 'proposed',
      undoes: null,
      ops: { create: 1 },
      rejected: 0,
      steps: [{ status: 'proposed', group: 1, after_text: 'Ann drinks tea' }],
    });
    expect(await decide(id, 'approve')).toEqual({
      status: 200,
      body: { changes: [{ id, status: 'applied', applied: [1], conflicted: [] }], pending_again: [] },
    });
    expect(await stateOf('Ann drinks tea')).toBe('consolidated');
    expect(await decide(id, 'approve')).toMatchObject({ status: 409, body: { error: { code: 'NOT_PROPOSED' } } });

    const undone = await decide(runId, 'undo');
    expect(undone).toMatchObject({ status: 200, body: { changes: [{ undoes: id, ops: 1 }], consolidated: [] } });
    expect(undone.body.held).toHaveLength(1);
    expect(await stateOf('Ann drinks tea')).toBe('held');
    expect(await set(id)).toMatchObject({ status: 'undone', steps: [{ status: 'undone' }] });
    const { changes } = bodyOf<{ changes: ChangeSet[] }>(await fixture.get(`${bank}/changes?limit=1`));
    expect(changes).toMatchObject([{ kind: 'undo', undoes: id, run_id: undone.body.run_id, status: 'applied' }]);
    expect(await decide(id, 'undo')).toMatchObject({ status: 409, body: { error: { code: 'NOT_APPLIED' } } });
  });

  test('is rejected, op by op', async () => {
    const { id } = await say('review', 'Ben has a dog');
    expect(await decide(id, 'reject', { op: 1 })).toMatchObject({
      status: 200,
      body: { changes: [{ id, status: 'rejected', rejected: [1] }], kept: [] },
    });
    expect(await stateOf('Ben has a dog')).toBe('held');
    // It waited and was put away; that it was refused by no judge is told too.
    expect(await set(id)).toMatchObject({ status: 'rejected', ops: { create: 1 }, rejected: 0 });
  });

  test('that no longer fits makes its bank due', async () => {
    const { id } = await say('review', 'Cleo plays the violin');
    await fixture.db.query("update engram.memories set context = 'at school' where text = 'Cleo plays the violin'");
    fixture.asked.length = 0;
    const { status, body } = await decide(id, 'approve');
    expect(status).toBe(200);
    expect(body.changes).toEqual([
      { id, status: 'conflicted', applied: [], conflicted: [{ ops: [1], reason: 'memory_changed' }] },
    ]);
    expect(fixture.asked).toContain('hint home');
    await fixture.db.query("update engram.memories set state = 'held' where text = 'Cleo plays the violin'");
  });
});

test('an undo under a later change is refused, and each change in the way is listed', async () => {
  const first = await say('auto', 'Dora grows tomatoes');
  const later = await say('auto', 'Dora grows red tomatoes', (batch, m) => [
    {
      op: 'revise',
      target: observationAlias(batch, 'Dora grows tomatoes'),
      text: 'Dora grows red tomatoes',
      memories: [m],
      reason: 'fuller',
    },
  ]);
  const refused = await decide(first.id, 'undo');
  expect(refused).toMatchObject({
    status: 409,
    body: {
      error: {
        code: 'LATER_CHANGES',
        message: 'something stands on it by now; nothing was undone',
        details: [{ path: `${later.id}#1`, message: expect.stringMatching(/^revise "Dora grows red tomatoes" \(20/) }],
      },
    },
  });
  expect((await decide(later.id, 'undo')).status).toBe(200);
  expect((await decide(first.id, 'undo')).status).toBe(200);
});

test('a conflict is resolved, and the resolution undone', async () => {
  await say('auto', 'The shop opens at nine');
  await say('auto', 'The shop opens at ten', (batch, m) => [
    {
      op: 'conflict',
      target: observationAlias(batch, 'The shop opens at nine'),
      as: 'n1',
      text: 'The shop opens at ten',
      memories: [m],
      validFrom: null,
      reason: 'two times',
    },
  ]);
  const list = async (status: string) =>
    bodyOf<{ conflicts: z.output<typeof conflictSchema>[] }>(await fixture.get(`${bank}/conflicts?status=${status}`))
      .conflicts;
  const [conflict] = await list('open');
  const path = `${bank}/conflicts/${conflict?.id}/resolve`;
  const response = await fixture.post(path, { keep: 'left' });
  expect(response.json()).toMatchObject({
    conflict_id: conflict?.id,
    resolution: 'left',
    outcome: { observation_id: conflict?.right.id, fate: 'retired' },
  });
  const { change_set_id } = bodyOf<{ change_set_id: string }>(response);
  expect(await list('resolved')).toMatchObject([{ id: conflict?.id, resolution: 'left', change_set_id }]);
  expect((await fixture.post(path, { keep: 'left' })).json()).toMatchObject({ error: { code: 'NOT_OPEN' } });
  expect((await decide(change_set_id, 'undo')).status).toBe(200);
  expect(await list('open')).toEqual([conflict]);
  expect((await fixture.post(path, { keep: 'neither' })).statusCode).toBe(422);
});

test('what is not there is 404, and of another bank nothing is', async () => {
  const { id } = await say('auto', 'Emil sings');
  await fixture.post('/v1/banks', { id: 'elsewhere' });
  for (const what of ['approve', 'reject', 'undo']) {
    expect((await fixture.post(`${bank}/changes/${nobody}/${what}`, {})).statusCode).toBe(404);
    expect((await fixture.post(`/v1/banks/elsewhere/changes/${id}/${what}`, {})).statusCode).toBe(404);
    expect((await fixture.post(`${bank}/changes/${id}/${what}`, { op: 0 })).statusCode).toBe(422);
  }
  expect(await decide(id, 'undo', { op: 7 })).toMatchObject({ status: 404 });
  expect((await fixture.post(`${bank}/conflicts/${nobody}/resolve`, { keep: 'both' })).statusCode).toBe(404);
});

test('decisions are work; the memory remembers what decided it', async () => {
  expect(fixture.work).toEqual(
    expect.arrayContaining(['/v1/banks/{bank}/changes/{id}/undo', '/v1/banks/{bank}/conflicts/{id}/resolve']),
  );
  const { rows } = await fixture.db.query<{ decided_by: string | null }>(
    "select decided_by from engram.memories where text = 'Emil sings'",
  );
  expect(rows[0]?.decided_by).toMatch(/^scripted\/1 validators\//);
});
