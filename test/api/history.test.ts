import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import {
  changeSetSchema,
  conflictSchema,
  explanationSchema,
  memorySchema,
  observationSchema,
  opSchema,
  recallResultSchema,
  runSchema,
  statusSchema,
} from '../../src/api/schemas.ts';
import { createConsolidationEngine } from '../../src/consolidation/create-engine.ts';
import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import { memoryAlias, observationAlias, ScriptedDecider } from '../consolidation/workbench.ts';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

let fixture: ApiFixture;
const bank = '/v1/banks/home';
const texts = {
  tea: 'Ann drinks tea.',
  teaAgain: 'Ann drinks tea',
  coffee: 'Ann drinks coffee.',
  nine: 'The shop opens at nine.',
  ten: 'The shop opens at ten.',
  noise: 'Hmm.',
};

/** What a decider would make of the texts, in two runs. */
function script(batch: Batch): ProposedOp[] {
  const has = (text: string) => batch.memories.some((memory) => memory.text === text);
  const memories = (text: string) => [memoryAlias(batch, text)];
  if (has(texts.tea)) {
    return [
      {
        op: 'create',
        as: 'n1',
        text: texts.tea,
        memories: memories(texts.tea),
        validFrom: new Date('2026-01-01'),
        reason: 'new',
      },
      { op: 'create', as: 'n2', text: texts.nine, memories: memories(texts.nine), validFrom: null, reason: 'new too' },
      { op: 'skip', memories: memories(texts.noise), reason: 'says nothing' },
    ];
  }
  const tea = observationAlias(batch, texts.tea);
  return [
    { op: 'reinforce', target: tea, memories: memories(texts.teaAgain), reason: 'said again' },
    {
      op: 'supersede',
      target: tea,
      as: 'n1',
      text: texts.coffee,
      memories: memories(texts.coffee),
      validFrom: new Date('2026-03-01'),
      reason: 'changed in March',
    },
    {
      op: 'conflict',
      target: observationAlias(batch, texts.nine),
      as: 'n2',
      text: texts.ten,
      memories: memories(texts.ten),
      validFrom: null,
      reason: 'two opening times',
    },
  ];
}

beforeAll(async () => {
  fixture = await createApiFixture();
  const { deps } = fixture;
  const decider = new ScriptedDecider();
  decider.propose_ = script;
  const engine = createConsolidationEngine({
    ...deps,
    decider,
    instanceId: deps.instance.id,
    concurrency: 1,
    apply: 'auto',
    random: () => 0.5,
  });
  const consolidate = () =>
    engine.runSlice({ bankId: 'home', trigger: 'requested', signal: new AbortController().signal });
  await fixture.post(`${bank}/memories`, [{ text: texts.tea }, { text: texts.nine }, { text: texts.noise }]);
  await fixture.embed('home');
  await consolidate();
  await fixture.post(`${bank}/memories`, [{ text: texts.teaAgain }, { text: texts.coffee }, { text: texts.ten }]);
  await fixture.embed('home');
  await consolidate();
});
afterAll(() => fixture.close());

type Observation = z.output<typeof observationSchema>;
type Memory = z.output<typeof memorySchema>;

async function observation(text: string): Promise<Observation> {
  const { observations } = bodyOf<{ observations: Observation[] }>(await fixture.get(`${bank}/observations?state=all`));
  const found = observations.find((candidate) => candidate.text === text);
  if (!found) throw new Error(`no observation ${text}`);
  return found;
}

async function memory(text: string): Promise<Memory> {
  const { memories } = bodyOf<{ memories: Memory[] }>(await fixture.get(`${bank}/memories`));
  const found = memories.find((candidate) => candidate.text === text);
  if (!found) throw new Error(`no memory ${text}`);
  return found;
}

test('observations are listed by state', async () => {
  const listed = async (query: string) =>
    bodyOf<{ observations: Observation[] }>(await fixture.get(`${bank}/observations${query}`))
      .observations.map((row) => row.text)
      .toSorted();
  expect(await listed('')).toEqual([texts.coffee, texts.nine, texts.ten]);
  expect(await listed('?state=superseded')).toEqual([texts.tea]);
  expect(await listed('?state=all')).toHaveLength(4);
});

test('runs are listed, newest first, in pages', async () => {
  const first = bodyOf<{ runs: z.output<typeof runSchema>[]; next_cursor: string }>(
    await fixture.get(`${bank}/consolidations?limit=1`),
  );
  expect(first.runs).toMatchObject([{ trigger: 'requested', outcome: 'drained', counts: { memories: 3 } }]);
  const second = bodyOf<typeof first>(await fixture.get(`${bank}/consolidations?limit=1&cursor=${first.next_cursor}`));
  expect(second.next_cursor).toBeNull();
  expect(second.runs[0]?.id).not.toBe(first.runs[0]?.id);
});

describe('changes', () => {
  type ChangeSet = z.output<typeof changeSetSchema>;
  const list = async (query = '') =>
    bodyOf<{ changes: ChangeSet[]; next_cursor: string | null }>(await fixture.get(`${bank}/changes${query}`));

  test('are listed newest first, with what they did, in pages and by status', async () => {
    const { changes } = await list();
    expect(changes).toMatchObject([
      { decider: 'scripted/1', status: 'applied', ops: { reinforce: 1, supersede: 1, conflict: 1 }, rejected: 0 },
      { ops: { create: 2, skip: 1 } },
    ]);
    const page = await list('?limit=1');
    expect((await list(`?limit=1&cursor=${page.next_cursor}`)).changes).toEqual([changes[1]]);
    expect((await list(`?run=${changes[1]?.run_id}`)).changes).toEqual([changes[1]]);
    expect((await list('?status=proposed')).changes).toEqual([]);
  });

  test('show each op with before and after, its sources and its reason', async () => {
    const { changes } = await list();
    const { steps } = bodyOf<{ steps: z.output<typeof opSchema>[] }>(
      await fixture.get(`${bank}/changes/${changes[0]?.id}`),
    );
    expect(steps).toMatchObject([
      {
        op: 'reinforce',
        before_text: texts.tea,
        after_text: texts.tea,
        sources: [{ text: texts.teaAgain }],
        reason: 'said again',
      },
      {
        op: 'supersede',
        status: 'applied',
        before_text: texts.tea,
        after_text: texts.coffee,
        before: { superseded_by: null },
        after: { text: texts.tea, valid_to: '2026-03-01T00:00:00.000Z' },
        created: { text: texts.coffee, valid_from: '2026-03-01T00:00:00.000Z' },
        sources: [{ text: texts.coffee }],
      },
      { op: 'conflict', before_text: texts.nine, after_text: texts.ten },
    ]);
    expect(steps[1]?.after?.superseded_by).toBe(steps[1]?.created?.id);
  });

  test('of another bank are not there', async () => {
    const { changes } = await list();
    await fixture.post('/v1/banks', { id: 'elsewhere' });
    expect((await fixture.get(`/v1/banks/elsewhere/changes/${changes[0]?.id}`)).statusCode).toBe(404);
  });
});

describe('an explanation', () => {
  const explain = async (id: string) =>
    bodyOf<z.output<typeof explanationSchema>>(await fixture.get(`${bank}/explain/${id}`));

  test('of a memory tells what became of it and who cites it', async () => {
    const story = await explain((await memory(texts.teaAgain)).id);
    expect(story).toMatchObject({
      type: 'memory',
      why: 'It was consolidated by scripted/1 (reinforce): said again.',
      memory: { state: 'consolidated' },
      cited_by: [{ text: texts.tea, state: 'superseded' }],
      ops: [{ op: 'reinforce', reason: 'said again' }],
    });
  });

  test('of a skipped memory gives the reason', async () => {
    expect((await explain((await memory(texts.noise)).id)).why).toBe(
      'It was consolidated by scripted/1 (skip): says nothing.',
    );
  });

  test('of an observation lists every op that touched it, oldest first', async () => {
    const tea = await observation(texts.tea);
    const coffee = await observation(texts.coffee);
    const story = await explain(tea.id);
    expect(story.ops.map((op) => op.op)).toEqual(['create', 'reinforce', 'supersede']);
    expect(story.why).toBe(
      `${coffee.id} took its place; it rests on 2 memories. The last to touch it was a supersede: changed in March.`,
    );
    expect((await explain(coffee.id)).superseded).toEqual([tea.id]);
  });

  test('of a conflicting one names the other', async () => {
    const story = await explain((await observation(texts.ten)).id);
    expect(story.why).toMatch(/^It is current, but 1 other cannot hold beside it/);
    expect(story.conflicts).toMatchObject([{ status: 'open', reason: 'two opening times' }]);
  });

  test('of nothing is 404', async () => {
    expect((await fixture.get(`${bank}/explain/01890000-0000-7000-8000-00000000dead`)).statusCode).toBe(404);
  });
});

test('conflicts are listed with both sides', async () => {
  const { conflicts } = bodyOf<{ conflicts: z.output<typeof conflictSchema>[] }>(
    await fixture.get(`${bank}/conflicts`),
  );
  expect(conflicts).toHaveLength(1);
  expect([conflicts[0]?.left.text, conflicts[0]?.right.text].toSorted()).toEqual([texts.nine, texts.ten]);
  expect((await fixture.get(`${bank}/conflicts?status=resolved`)).json()).toEqual({ conflicts: [] });
});

test('every answer has the shape that is documented for it', async () => {
  const { changes } = bodyOf<{ changes: { id: string }[] }>(await fixture.get(`${bank}/changes`));
  const tea = await observation(texts.tea);
  const said = await memory(texts.tea);
  const { steps, ...set } = bodyOf<{ steps: unknown[] }>(await fixture.get(`${bank}/changes/${changes[0]?.id}`));
  const list = async (path: string, key: string) =>
    bodyOf<Record<string, unknown[]>>(await fixture.get(`${bank}/${path}`))[key];
  const shapes: [z.ZodType, unknown][] = [
    [changeSetSchema, set],
    [opSchema.array(), steps],
    [memorySchema, (await fixture.get(`${bank}/memories/${said.id}`)).json()],
    [memorySchema.array(), await list('memories', 'memories')],
    [observationSchema.array(), await list('observations?state=all', 'observations')],
    [runSchema.array(), await list('consolidations', 'runs')],
    [conflictSchema.array(), await list('conflicts', 'conflicts')],
    [explanationSchema, (await fixture.get(`${bank}/explain/${tea.id}`)).json()],
    [explanationSchema, (await fixture.get(`${bank}/explain/${said.id}`)).json()],
    [
      recallResultSchema,
      (await fixture.post(`${bank}/recall`, { query: 'Ann drinks', include_superseded: true })).json(),
    ],
    [statusSchema, (await fixture.get('/v1/status')).json()],
  ];
  for (const [shape, value] of shapes) shape.parse(value);
});
