import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import { createRulesScorer } from '../../src/significance/rules/rules-scorer.ts';
import { createBank, deleteBank } from '../../src/store/banks.ts';
import { lockSets } from '../../src/store/change-review.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { decide, observe, vectorOf } from '../consolidation/decide.ts';
import { somebodyWaitsForALock } from '../consolidation/lock-waits.ts';
import {
  changes,
  eventKinds,
  liveTexts,
  memories,
  observation,
  observations,
  states,
} from '../consolidation/store-view.ts';
import {
  createOp,
  createWorkbench,
  memoryAlias,
  observationAlias,
  type Workbench,
} from '../consolidation/workbench.ts';
import { curationOf, placesOf } from './curation-bench.ts';

let bench: Workbench;
let curation: Awaited<ReturnType<typeof curationOf>>;
beforeAll(async () => {
  bench = await createWorkbench();
  curation = await curationOf(bench);
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const signal = new AbortController().signal;
const forget = (memoryId: string) => curation.forget({ bankId: bench.bankId, memoryId, signal });

const scorer = (instanceId: string) =>
  createSignificanceEngine({
    db: bench.database.db,
    scorer: createRulesScorer(),
    pinCap: 8,
    instanceId,
    log: silentLog,
    metrics: bench.database.metrics,
    racepoints: bench.races,
    random: () => 0.5,
  });

describe('a memory that is forgotten', () => {
  it('and never was consolidated is gone, and a row says so', async () => {
    const [id = ''] = await bench.remember('Ana keeps a zanzibar parrot');
    expect(await forget(id)).toEqual({ memoryId: id, rewritten: [], deleted: [], scrubbedOps: 0, conflicted: [] });
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    expect(await bench.rows('select memory_id as id from engram.erasures where bank_id = $1', [bench.bankId])).toEqual([
      { id },
    ]);
    expect((await eventKinds(bench)).at(-1)).toBe('memory.forgotten');
    expect(await forget(id), 'a second time there is nothing').toBeNull();
  });

  it('leaves no name behind that its score had found', async () => {
    const [id = ''] = await bench.remember('Zanzibar Pete sold the boat');
    const { bankId } = bench;
    await scorer(id).scoreBatch(bankId, { signal });
    const scores = `select detail from engram.events where bank_id = $1 and kind = 'memory.scored'`;
    expect(await bench.rows(scores, [bankId])).toMatchObject([{ detail: { entities: ['Zanzibar Pete'] } }]);
    await bench.rows(
      `insert into engram.events (bank_id, kind, memory_id, detail)
       values ($1, 'memory.score_parked', $2, '{"reason": "a score of Zanzibar Pete"}')`,
      [bankId, id],
    );
    await forget(id);
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    expect(await bench.rows(scores, [bankId])).toEqual([{ detail: { score: 1, by: 'rules/1' } }]);
  });

  it('and went by plain SQL leaves nothing either, and is forgotten once', async () => {
    const [id = ''] = await observe(bench, 'Ana keeps a zanzibar parrot');
    const [other = ''] = await bench.remember('Ben sails');
    const { bankId } = bench;
    await bench.rows('delete from engram.memories where id = $1', [id]);
    expect(await placesOf(bench, 'zanzibar'), 'its history has it').not.toEqual([]);
    const { id: observationId } = await observation(bench, 'Ana keeps a zanzibar parrot');
    expect(await forget(id)).toMatchObject({ memoryId: id, deleted: [observationId], rewritten: [] });
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    const before = await eventKinds(bench);
    expect(before.filter((kind) => kind === 'memory.forgotten')).toHaveLength(1);
    expect(await forget(id)).toBeNull();
    expect(await forget(randomUUID()), 'one that never was').toBeNull();
    expect(await eventKinds(bench)).toEqual(before);
    expect(await bench.rows('select memory_id as id from engram.erasures where bank_id = $1', [bankId])).toEqual([
      { id },
    ]);
    expect(await bench.rows('select id from engram.memories where bank_id = $1', [bankId])).toEqual([{ id: other }]);
  });

  it('and went before its words in the timeline went with it is forgotten still, also if they come back', async () => {
    const { bankId } = bench;
    const id = randomUUID();
    for (let times = 0; times < 2; times += 1) {
      await bench.rows(
        `insert into engram.events (bank_id, kind, memory_id, detail)
         values ($1, 'memory.consolidated', $2, '{"reason": "zanzibar"}')`,
        [bankId, id],
      );
      expect(await forget(id)).toEqual({ memoryId: id, rewritten: [], deleted: [], scrubbedOps: 0, conflicted: [] });
      expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    }
    expect(await forget(id)).toBeNull();
  });

  it('with its whole bank has no word left in it, nor in the next bank of that name', async () => {
    const { bankId } = bench;
    const { db } = bench.database;
    const [id = ''] = await bench.remember('Zanzibar Pete sold the boat');
    await scorer(id).scoreBatch(bankId, { signal });
    expect(await db.tx({ label: 'delete' }, (tx) => deleteBank(tx, bankId))).toBe(true);
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    const hints = curation.hinted.length;
    expect(await forget(id), 'of no bank').toBeNull();
    expect(curation.hinted).toHaveLength(hints);
    await db.tx({ label: 'create' }, (tx) => createBank(tx, bankId));
    expect(await forget(id)).toMatchObject({ memoryId: id, deleted: [], rewritten: [] });
    expect(await forget(id)).toBeNull();
  });

  it('takes an observation with it that rests on nothing else', async () => {
    const [id = ''] = await observe(bench, 'Ana keeps a zanzibar parrot');
    const { id: observationId } = await observation(bench, 'Ana keeps a zanzibar parrot');
    expect(await forget(id)).toMatchObject({ deleted: [observationId], rewritten: [] });
    expect(await observations(bench)).toEqual([]);
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    expect(curation.hinted).toContain(bench.bankId);
  });

  it('leaves an observation that has another source, in the words of that one, with their vector', async () => {
    const [first = ''] = await observe(bench, { text: 'Ana drinks tea', mentionedAt: '2026-03-04T00:00:00Z' });
    const { id: second } = await decide(
      bench,
      'Ana drinks zanzibar tea',
      (batch, m) => [
        {
          op: 'revise',
          target: observationAlias(batch, 'Ana drinks tea'),
          text: 'Ana drinks tea, namely zanzibar tea',
          memories: [m],
          reason: 'zanzibar',
        },
      ],
      '2026-03-01T00:00:00Z',
    );
    const before = await observation(bench, 'Ana drinks tea, namely zanzibar tea');
    bench.embedder.onEmbed = () => {
      throw new Error('no embedder is needed for a text whose vector is there');
    };
    expect(await forget(second)).toMatchObject({ rewritten: [before.id], deleted: [] });
    bench.embedder.onEmbed = undefined;
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({
      id: before.id,
      version: before.version + 1,
      needsReplan: true,
      validFrom: '2026-03-04',
      vector: await vectorOf(bench, 'Ana drinks tea'),
      sources: [{ id: first, version: 1 }],
    });
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    await bench.consolidate();
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({ needsReplan: false, isLive: true });
  });

  it('is nowhere, through revise, supersede, fold, conflict, refusals, proposals and what models said', async () => {
    const word = 'zanzibar';
    const [parrot = '', , tea = ''] = await observe(
      bench,
      'Ana keeps a zanzibar parrot',
      'Ana owns a parrot',
      'Ana drinks tea',
      'Ana likes rain',
    );
    // Folded, with the word in the reason; then said again by another memory.
    await decide(bench, 'the parrot is green', (batch, m) => [
      {
        op: 'fold',
        target: observationAlias(batch, 'Ana keeps a zanzibar parrot'),
        into: observationAlias(batch, 'Ana owns a parrot'),
        reason: 'a zanzibar parrot is a parrot',
      },
      { op: 'skip', memories: [m], reason: 'zanzibar parrots are green anyway' },
    ]);
    const { id: harbour } = await decide(bench, 'Ben lives in zanzibar', (_, m) => [
      {
        op: 'create',
        as: 'n1',
        text: 'Ben lives in zanzibar',
        memories: [m],
        validFrom: new Date('2026-01-01'),
        reason: '',
      },
    ]);
    await decide(bench, 'Ben moved to Rome', (batch, m) => [
      {
        op: 'supersede',
        target: observationAlias(batch, 'Ben lives in zanzibar'),
        as: 'n1',
        text: 'Ben moved to Rome from zanzibar',
        memories: [m],
        validFrom: new Date('2026-02-01'),
        reason: 'left zanzibar',
      },
    ]);
    await decide(bench, 'Ben was in Oslo all year', (batch, m) => [
      {
        op: 'conflict',
        target: observationAlias(batch, 'Ben moved to Rome from zanzibar'),
        as: 'n1',
        text: 'Ben was in Oslo all year',
        memories: [m],
        validFrom: null,
        reason: 'zanzibar or Oslo',
      },
    ]);
    const { id: refused } = await decide(bench, 'zanzibar is an island', (_, m) => [
      { op: 'create', as: 'n1', text: 'zanzibar '.repeat(2000), memories: [m], validFrom: null, reason: 'zanzibar' },
    ]);
    const review = await bench.engineBeside({ apply: 'review' });
    const [waiting = '', beside = ''] = await bench.remember('zanzibar has a harbour', 'the harbour is old');
    bench.decider.propose_ = (batch) => [
      {
        op: 'create',
        as: 'n1',
        text: 'zanzibar has a harbour',
        memories: batch.memories.map((memory) => memory.alias),
        validFrom: null,
        reason: 'zanzibar',
      },
    ];
    await bench.consolidate({ engine: review });
    expect(await states(bench)).toMatchObject({ 'the harbour is old': 'proposed' });
    const ids = [parrot, harbour, refused, waiting];
    const subjects = `array(select id from engram.memories where bank_id = $1 and id = any($2::uuid[])
      union select id from engram.observations where bank_id = $1 and text like '%zanzibar%')`;
    await bench.rows(
      `insert into engram.model_answers (bank_id, request_hash, answer, subject_ids)
       select $1, 'a', '"zanzibar"', array[s] from unnest(${subjects}) as s limit 1`,
      [bench.bankId, ids],
    );
    await bench.rows(
      `insert into engram.verdicts (bank_id, key, verdict, reason, subject_ids)
       select $1, convert_to(s::text, 'UTF8'), 'different', 'zanzibar', array[s] from unnest(${subjects}) as s`,
      [bench.bankId, ids],
    );
    await bench.rows(
      `with e as (insert into engram.entities (bank_id, id, name) values ($1, gen_random_uuid(), 'Zanzibar Club'), ($1, gen_random_uuid(), 'Ana')
         returning id)
       insert into engram.memory_entities (bank_id, memory_id, entity_id)
       select $1, $2::uuid, id from e union all select $1, $3::uuid, (select id from e offset 1 limit 1)`,
      [bench.bankId, parrot, tea],
    );
    await bench.rows(
      `update engram.memories set context = 'zanzibar', metadata = '{"a":"zanzibar"}', source_ref = 'zanzibar', ingest_key = 'zanzibar'
       where bank_id = $1 and id = $2`,
      [bench.bankId, parrot],
    );
    // As a validator that quotes what it refuses.
    const quoting = await bench.rows(
      `update engram.change_ops set verdicts = '[{"validator": "x", "reason": "zanzibar"}]', reason = 'zanzibar'
       where bank_id = $1 and status = 'rejected' returning op`,
      [bench.bankId],
    );
    expect(quoting.length).toBeGreaterThan(0);
    // As when a skip was undone and the undo undone.
    await bench.rows(
      `insert into engram.events (bank_id, kind, memory_id, detail)
       select bank_id, 'memory.consolidated', id, jsonb_build_object('reason', state_reason) from engram.memories
       where bank_id = $1 and state_reason like 'zanzibar%'`,
      [bench.bankId],
    );
    expect(await placesOf(bench, word)).toEqual(
      expect.arrayContaining([
        'change_ops.after',
        'change_ops.before',
        'change_ops.plan',
        'change_ops.reason',
        'change_ops.verdicts',
        'conflicts.reason',
        'entities.name',
        'events.detail',
        'memories.state_reason',
        'memories.text',
        'model_answers.answer',
        'observations.text',
        'verdicts.reason',
      ]),
    );

    const reports = [];
    for (const id of ids) reports.push(await forget(id));
    // The first had been shown to whoever made the proposal.
    expect(reports.map((report) => report?.conflicted.length)).toEqual([1, 0, 0, 0]);
    expect(await states(bench)).toMatchObject({ 'the harbour is old': 'pending' });
    expect(await bench.rows('select status from engram.change_sets where status = $1', ['proposed'])).toEqual([]);
    expect(await placesOf(bench, word)).toEqual([]);
    expect(await bench.rows('select name from engram.entities where bank_id = $1', [bench.bankId])).toEqual([
      { name: 'Ana' },
    ]);
    const erased = await bench.rows<{ op: string; seq: number }>(
      'select op from engram.change_ops where bank_id = $1 and erased_at is not null',
      [bench.bankId],
    );
    expect(new Set(erased.map((row) => row.op))).toEqual(
      new Set(['create', 'fold', 'supersede', 'conflict', 'retire', 'revise']),
    );
    expect(await liveTexts(bench)).toEqual([
      'Ana drinks tea',
      'Ana likes rain',
      'Ana owns a parrot',
      'Ben moved to Rome',
      'Ben was in Oslo all year',
    ]);
    bench.decider.reset();
    await bench.consolidate();
    expect((await observations(bench)).filter((row) => row.needsReplan)).toEqual([]);
    expect(await memories(bench)).toContainEqual(expect.objectContaining({ id: beside, state: 'consolidated' }));
    expect(await placesOf(bench, word)).toEqual([]);
  });

  it('gives its place back to what its observation had superseded', async () => {
    await observe(bench, { text: 'Ana drinks tea', mentionedAt: '2026-03-01T00:00:00Z' });
    const { id } = await decide(bench, 'Ana drinks coffee', (batch, m) => [
      {
        op: 'supersede',
        target: observationAlias(batch, 'Ana drinks tea'),
        as: 'n1',
        text: 'Ana drinks coffee',
        memories: [m],
        validFrom: new Date('2026-03-05'),
        reason: '',
      },
    ]);
    await forget(id);
    expect(await observation(bench, 'Ana drinks tea')).toMatchObject({
      isLive: true,
      supersededBy: null,
      validTo: null,
      needsReplan: true,
    });
    await bench.consolidate();
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea']);
    expect((await observation(bench, 'Ana drinks tea')).needsReplan).toBe(false);
  });

  it('does not come back: what wrote it can no longer be undone', async () => {
    const [id = ''] = await observe(bench, 'Ana keeps a zanzibar parrot');
    await forget(id);
    const sets = await bench.rows<{ id: string; kind: string }>(
      'select id, kind from engram.change_sets where bank_id = $1 order by created_at, id',
      [bench.bankId],
    );
    expect(sets.map((set) => set.kind)).toEqual(['consolidation', 'curation']);
    const undone = sets.map(({ id: named }) => curation.undo({ bankId: bench.bankId, id: named, signal }));
    const refusals = await Promise.allSettled(undone);
    expect(refusals).toMatchObject([
      { reason: { code: 'LATER_CHANGES' } },
      { reason: { code: 'LATER_CHANGES', later: [{ what: 'its texts were erased' }] } },
    ]);
    expect(await observations(bench)).toEqual([]);
  });

  it('leaves other banks and unrelated history alone', async () => {
    const [tea = ''] = await observe(bench, 'Ana drinks tea');
    await observe(bench, { text: 'Ben drinks milk', tags: ['ben'] });
    const before = await changes(bench);
    await forget(tea);
    const after = await changes(bench);
    const ben = (rows: typeof before) => rows.filter((row) => row.after?.created?.text === 'Ben drinks milk');
    expect(ben(after)).toEqual(ben(before));
    expect(ben(after)).toHaveLength(1);
  });
});

describe('words about a memory that was only shown', () => {
  const secret = 'Ana keeps a zanzibar parrot';

  it('are gone: of a skip, with the memory that keeps it, through undo and undo of the undo', async () => {
    const [id = ''] = await observe(bench, secret);
    const { id: skipped, report } = await decide(bench, 'Ana has a bird', (_, m) => [
      { op: 'skip', memories: [m], reason: 'known: zanzibar parrot' },
    ]);
    const taken = await curation.undo({ bankId: bench.bankId, id: report.runId, signal });
    await curation.undo({ bankId: bench.bankId, id: taken.runId, signal });
    expect(await placesOf(bench, 'zanzibar')).toEqual(
      expect.arrayContaining(['change_ops.after', 'change_ops.reason', 'memories.state_reason']),
    );
    expect(await forget(id)).toMatchObject({ scrubbedOps: 2, conflicted: [] });
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    expect(await memories(bench)).toMatchObject([{ id: skipped, state: 'consolidated' }]);
  });

  it('are gone: of an op that names nothing of it, which can still be undone', async () => {
    const [id = ''] = await observe(bench, secret);
    const { report } = await decide(bench, 'Ben has a bird', (_, m) => [
      { ...createOp(m, 'n1', 'Ben has a bird'), reason: 'not the zanzibar parrot' },
    ]);
    await forget(id);
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    await curation.undo({ bankId: bench.bankId, id: report.runId, signal });
    expect(await liveTexts(bench)).toEqual([]);
  });

  it('are gone: of a memory of the same batch', async () => {
    const [id = ''] = await bench.remember(secret, 'Ben has a bird');
    bench.decider.propose_ = (batch) => [
      createOp(memoryAlias(batch, secret), 'n1', secret),
      { op: 'skip', memories: [memoryAlias(batch, 'Ben has a bird')], reason: 'less than a zanzibar parrot' },
    ];
    await bench.consolidate();
    await forget(id);
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });

  it('are gone: of a conflict that was flagged beside it, and stays open', async () => {
    const [id = ''] = await observe(bench, secret, 'Ben sings');
    await decide(bench, 'Ben never sings', (batch, m) => [
      {
        op: 'conflict',
        target: observationAlias(batch, 'Ben sings'),
        as: 'n1',
        text: 'Ben never sings',
        memories: [m],
        validFrom: null,
        reason: 'as a zanzibar parrot does',
      },
    ]);
    await forget(id);
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    expect(await bench.rows('select status from engram.conflicts where bank_id = $1', [bench.bankId])).toEqual([
      { status: 'open' },
    ]);
  });

  it.each(['shown in the batch', 'shown beside it'])('are gone: of what waits for a person, %s', async (how) => {
    const review = await bench.engineBeside({ apply: 'review' });
    let id = '';
    if (how === 'shown beside it') [id = ''] = await observe(bench, secret);
    else [id = ''] = await bench.remember(secret);
    await bench.remember('Ben sings');
    bench.decider.propose_ = (batch) =>
      batch.memories.map((memory) => ({
        ...createOp(memory.alias, `n${memory.alias}`, memory.text),
        reason: memory.text === secret ? '' : 'unlike the zanzibar parrot',
      }));
    await bench.consolidate({ engine: review });
    expect(await forget(id)).toMatchObject({ conflicted: [expect.any(String)] });
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    const kept = await bench.rows(
      `select count(*) from engram.change_ops where bank_id = $1 and status = 'conflicted'
         and (plan is not null or after_embedding is not null or after_embedding_model is not null)`,
      [bench.bankId],
    );
    expect(kept).toEqual([{ count: 0 }]);
    expect(await states(bench)).toEqual({ 'Ben sings': 'pending' });
  });

  it('are gone: values that a refused op would have lost, though nothing tells what was shown', async () => {
    const [id = ''] = await observe(bench, 'Order 778812 is late', 'Order 5 is late');
    await decide(bench, 'Orders are late', (batch, m) => [
      {
        op: 'fold',
        target: observationAlias(batch, 'Order 5 is late'),
        into: observationAlias(batch, 'Order 778812 is late'),
        reason: 'same',
      },
      {
        op: 'revise',
        target: observationAlias(batch, 'Order 778812 is late'),
        text: 'Orders are late',
        memories: [m],
        reason: 'shorter',
      },
      {
        ...createOp(m, 'n1', 'Order 6 is late'),
        supersededBy: observationAlias(batch, 'Order 778812 is late'),
      },
      { op: 'skip', memories: [m], reason: 'no' },
    ]);
    const target = (await observation(bench, 'Order 778812 is late')).id;
    const refused = await bench.rows<{ op: string; ids: string[] }>(
      `select op, observation_ids as ids from engram.change_ops where bank_id = $1 and status = 'rejected' order by seq`,
      [bench.bankId],
    );
    expect(refused.map((row) => row.op)).toEqual(['fold', 'revise', 'create']);
    expect(refused.every((row) => row.ids.includes(target))).toBe(true);
    await bench.rows("update engram.change_sets set shown_ids = '{}' where bank_id = $1", [bench.bankId]);
    await forget(id);
    expect(await placesOf(bench, '778812')).toEqual([]);
  });
});

it('what moves while it computes is looked at again: no text is taken from a memory that went meanwhile', async () => {
  const [first = ''] = await observe(bench, 'Ana drinks tea');
  const { id: second } = await decide(bench, 'Ana drinks zanzibar tea', (batch, m) => [
    {
      op: 'revise',
      target: observationAlias(batch, 'Ana drinks tea'),
      text: 'Ana drinks zanzibar tea',
      memories: [m],
      reason: '',
    },
  ]);
  const { id } = await observation(bench, 'Ana drinks zanzibar tea');
  const planned = bench.races.hold('forget:planned');
  const forgetting = forget(second);
  await planned.reached;
  await bench.rows('update engram.memories set invalidated_at = now() where id = $1', [first]);
  planned.release();
  expect(await forgetting).toMatchObject({ rewritten: [], deleted: [id] });
  expect(bench.races.visits('forget:planned')).toBe(2);
  expect(await observations(bench)).toEqual([]);
});

describe('without a provider', () => {
  beforeEach(() => {
    bench.embedder.onEmbed = () => {
      throw new Error('no provider is waited for');
    };
  });

  /** An observation in words of its own over a memory that is to be forgotten and these; returns the ids of all. */
  async function revised(...others: readonly string[]): Promise<string[]> {
    bench.embedder.onEmbed = undefined;
    const ids = await observe(bench, 'Ana drinks zanzibar tea');
    for (const text of others) {
      const added = await decide(bench, text, (batch, m) => [
        {
          op: 'reinforce',
          target: observationAlias(batch, 'Ana drinks zanzibar tea'),
          memories: [m],
          reason: 'said too',
        },
      ]);
      ids.push(added.id);
    }
    bench.embedder.onEmbed = () => {
      throw new Error('no provider is waited for');
    };
    bench.decider.reset();
    return ids;
  }

  const gone: Record<string, string> = {
    'was edited a moment ago': "text = 'Ana drinks tea on each day'",
    'has a vector of a model that is no longer in use': "embedding_model = 'local/older'",
    'has a vector that is none': 'embedding = array[1, 2]::real[]',
  };

  it.each(Object.keys(gone))('it is done at once where what stays %s; that is decided anew', async (how) => {
    await bench.rows(
      `insert into engram.embedding_models (id, provider, dimensions, is_active)
       values ('local/older', 'local', 512, false) on conflict do nothing`,
    );
    const [secret = '', other = ''] = await revised('Ana drinks tea daily');
    await bench.rows(`update engram.memories set ${gone[how]} where id = $1`, [other]);
    const { id } = await observation(bench, 'Ana drinks zanzibar tea');
    expect(await forget(secret)).toMatchObject({ rewritten: [], deleted: [id] });
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    expect(await observations(bench)).toEqual([]);
    expect(await memories(bench)).toMatchObject([{ id: other, state: 'pending' }]);
    bench.embedder.onEmbed = undefined;
    await bench.consolidate();
    expect(await memories(bench)).toMatchObject([{ id: other, state: 'consolidated' }]);
    expect(await observations(bench)).toMatchObject([{ sources: [{ id: other }], isLive: true }]);
  });

  it('words with a vector are taken before newer ones without', async () => {
    const [secret = '', older = '', newer = ''] = await revised('Ana drinks tea daily', 'Ana drinks tea each day');
    await bench.rows('update engram.memories set embedding = null, embedding_model = null where id = $1', [newer]);
    const { id } = await observation(bench, 'Ana drinks zanzibar tea');
    expect(await forget(secret)).toMatchObject({ rewritten: [id], deleted: [] });
    expect(await observation(bench, 'Ana drinks tea daily')).toMatchObject({
      id,
      needsReplan: true,
      sources: [{ id: older }, { id: newer }],
      vector: await vectorOf(bench, 'Ana drinks tea daily'),
    });
    expect((await memories(bench)).map((row) => row.state)).toEqual(['consolidated', 'consolidated']);
  });

  it('a memory that a person has put aside, or does not believe, is not brought back', async () => {
    const [secret = '', held = '', invalid = ''] = await revised('Ana drinks tea daily', 'Ana drinks tea each day');
    await bench.rows(
      "update engram.memories set embedding = null, embedding_model = null, state = 'held' where id = $1",
      [held],
    );
    await bench.rows('update engram.memories set invalidated_at = now() where id = $1', [invalid]);
    expect(await forget(secret)).toMatchObject({ rewritten: [], deleted: [expect.any(String)] });
    expect((await memories(bench)).map((row) => row.state)).toEqual(['held', 'consolidated']);
  });
});

it('beside two daemons at work nothing is left of what was forgotten, and all else is whole', async () => {
  const second = await bench.engineBeside({ batchMemories: 3 });
  const texts = Array.from({ length: 24 }, (_, n) =>
    n % 3 === 0 ? `zanzibar parrot ${n % 4} sings` : `the parrot ${n % 4} sings in room ${n % 6}`,
  );
  const ids = await bench.remember(...texts);
  const secrets = ids.filter((_, n) => n % 3 === 0);
  // All of a kind in one observation, which is then revised and reinforced by the others.
  bench.decider.propose_ = (batch) =>
    batch.memories.map((memory, n) => {
      const like = batch.observations.find((row) => row.text.includes(memory.text.match(/parrot \d/)?.[0] ?? '-'));
      const op = { memories: [memory.alias], reason: `as ${memory.text}` };
      if (!like) return createOp(memory.alias, `n${n}`, memory.text);
      return n % 2 === 0
        ? { ...op, op: 'revise', target: like.alias, text: memory.text }
        : { ...op, op: 'reinforce', target: like.alias };
    });
  await Promise.all([bench.consolidate(), bench.consolidate({ engine: second }), ...secrets.map((id) => forget(id))]);
  expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  bench.decider.reset();
  for (let runs = 0; runs < 4; runs += 1) {
    // Those that came to nothing in the scuffle rest.
    await bench.rows('update engram.memories set next_attempt_at = now() where bank_id = $1', [bench.bankId]);
    await bench.consolidate();
  }
  expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  expect((await observations(bench)).filter((row) => row.needsReplan)).toEqual([]);
  expect(Object.values(await states(bench)).every((state) => state === 'consolidated')).toBe(true);
  expect(await memories(bench)).toHaveLength(16);
});

it('it holds change sets before their ops, as whoever approves, rejects or undoes does', async () => {
  const [secret = ''] = await observe(bench, 'Ana keeps a zanzibar parrot');
  const { promise: locked, resolve: isLocked } = Promise.withResolvers<void>();
  const { promise: waited, resolve: hasWaited } = Promise.withResolvers<void>();
  const deciding = bench.database.db.tx({ label: 'test' }, async (tx) => {
    const { rows } = await tx.query<{ id: string }>('select id from engram.change_sets where bank_id = $1', [
      bench.bankId,
    ]);
    const ids = rows.map((row) => row.id);
    await lockSets(tx, bench.bankId, ids);
    isLocked();
    await waited;
    const free = await tx.query('select 1 from engram.change_ops where bank_id = $1 for update skip locked', [
      bench.bankId,
    ]);
    return free.rowCount;
  });
  await locked;
  const forgetting = forget(secret);
  await somebodyWaitsForALock(bench);
  hasWaited();
  expect(await deciding, 'ops that the erasure does not hold while it waits').toBe(1);
  expect(await forgetting).toMatchObject({ deleted: [expect.any(String)] });
});

describe('while its batch is at the decider', () => {
  it.each(['skip', 'reinforce', 'fold'] as const)(
    'nothing of a %s beside an observation of it is kept',
    async (kind) => {
      const [secret = ''] = await observe(bench, 'Ana keeps a zanzibar parrot', 'Ana drinks tea', 'Ana has tea');
      const [later = ''] = await bench.remember('Ana likes tea');
      let reason = 'has nothing to do with zanzibar';
      bench.decider.propose_ = (batch) => {
        const op = { memories: [memoryAlias(batch, 'Ana likes tea')], reason };
        const [target, into] = ['Ana drinks tea', 'Ana has tea'].map((text) => observationAlias(batch, text));
        if (kind === 'skip' || bench.decider.batches.length > 1 || !target || !into) return [{ op: 'skip', ...op }];
        if (kind === 'fold') return [{ op: 'fold', target, into, reason: op.reason }];
        return [{ op: 'reinforce', target, ...op }];
      };
      bench.decider.batches = [];
      const proposed = bench.races.hold('batch:proposed');
      const consolidating = bench.consolidate();
      await proposed.reached;
      await forget(secret);
      reason = 'asked again, without it';
      proposed.release();
      await consolidating;
      expect(await placesOf(bench, 'zanzibar')).toEqual([]);
      expect(await memories(bench)).toContainEqual(expect.objectContaining({ id: later }));
    },
  );

  it('nothing of the answer is kept: ops, refusals and reasons that quote it', async () => {
    const [secret = ''] = await bench.remember('Ana keeps a zanzibar parrot', 'Ben drinks milk');
    let asked = 0;
    bench.decider.propose_ = (batch) => {
      asked += 1;
      const milk = memoryAlias(batch, 'Ben drinks milk');
      if (asked > 1)
        return [{ op: 'create', as: 'n1', text: 'Ben drinks milk', memories: [milk], validFrom: null, reason: '' }];
      const parrot = memoryAlias(batch, 'Ana keeps a zanzibar parrot');
      return [
        { op: 'create', as: 'n1', text: 'x', memories: [parrot], validFrom: null, reason: 'zanzibar' },
        { op: 'skip', memories: [milk], reason: 'unlike the zanzibar parrot' },
      ];
    };
    const atDecider = bench.races.hold('batch:proposed');
    const slice = bench.consolidate();
    await atDecider.reached;
    await forget(secret);
    atDecider.release();
    await slice;
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    expect(asked, 'what is left is decided again').toBe(2);
    expect(await states(bench)).toEqual({ 'Ben drinks milk': 'consolidated' });
    expect(await liveTexts(bench)).toEqual(['Ben drinks milk']);
  });

  it('the next request about what is left is not told what was refused, which may quote it', async () => {
    const [secret = ''] = await bench.remember('Ana keeps a zanzibar parrot', 'Ben drinks milk');
    bench.decider.propose_ = (batch) =>
      batch.memories.length === 2
        ? [
            {
              op: 'create',
              as: 'n1',
              text: 'zanzibar '.repeat(2000),
              memories: batch.memories.map((memory) => memory.alias),
              validFrom: null,
              reason: '',
            },
          ]
        : [createOp(memoryAlias(batch, 'Ben drinks milk'), 'n1', 'Ben drinks milk')];
    const refused = bench.races.hold('batch:validated');
    const slice = bench.consolidate();
    await refused.reached;
    await forget(secret);
    refused.release();
    await slice;
    expect(bench.decider.batches).toHaveLength(2);
    expect(JSON.stringify(bench.decider.batches[1])).not.toContain('zanzibar');
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });

  it('an apply that was first is erased with the rest: the erasure waits for it and starts over', async () => {
    const [secret = ''] = await bench.remember('Ana keeps a zanzibar parrot');
    const applying = bench.races.hold('apply:before-commit');
    const slice = bench.consolidate();
    await applying.reached;
    const forgetting = forget(secret);
    await untilBlocked();
    applying.release();
    await slice;
    expect(await forgetting).toMatchObject({ deleted: [expect.any(String)] });
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });
});

/** Until a transaction of this database waits for another one's lock. */
async function untilBlocked(): Promise<void> {
  for (;;) {
    const [row] = await bench.rows<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`,
    );
    if ((row?.n ?? 0) > 0) return;
  }
}
