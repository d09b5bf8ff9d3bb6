import { afterEach, beforeEach, expect, test } from 'vitest';
import { createReEmbedder } from '../../src/ingest/re-embed.ts';
import { EmbeddingModelUnavailableError } from '../../src/models/embeddings/embedding-errors.ts';
import { BudgetSpentError } from '../../src/models/provider-errors.ts';
import { activeEmbeddingModel } from '../../src/store/embedding-models.ts';
import { cancelSwitch, readSwitch } from '../../src/store/embedding-switch.ts';
import { measureSwitch } from '../../src/store/next-embeddings.ts';
import { dropVectorIndex } from '../../src/store/vectors/pgvector-setup.ts';
import { indexName } from '../../src/store/vectors/pgvector-statements.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createSwitchFixture, type SwitchFixture, signal } from './re-embed-fixture.ts';

let fixture: SwitchFixture;
beforeEach(async () => {
  fixture = await createSwitchFixture();
});
afterEach(() => fixture.close());

async function embedAll(daemon: Awaited<ReturnType<SwitchFixture['daemon']>>, bankId: string) {
  while ((await daemon.embedPending(bankId, { signal })).remaining > 0);
}

const texts = (calls: SwitchFixture['next']['calls']) => calls.flatMap((call) => call.texts);

test('all valid memories and observations that are not retired move to the new model at once', async () => {
  const daemon = await fixture.daemon();
  await fixture.remember('a', 'the kiln is in the shed', 'waits for a vector');
  await fixture.remember('b', 'elsewhere');
  const [gone] = await fixture.remember('a', 'invalidated');
  await embedAll(daemon, 'a');
  await embedAll(daemon, 'b');
  await fixture.db.query('update engram.memories set invalidated_at = now() where id = $1', [gone]);
  await fixture.observe('a', 'an observation');
  await fixture.observe('a', 'a retired one', true);
  expect(await daemon.run()).toEqual(['none']);

  expect(await fixture.begin()).toBe(true);
  expect((await daemon.run()).at(-1)).toBe('switched');
  expect(await fixture.vectors()).toEqual({
    'the kiln is in the shed': 'openai/next 64',
    'waits for a vector': 'openai/next 64',
    elsewhere: 'openai/next 64',
    invalidated: 'local/old 512',
    'an observation': 'openai/next 64',
    'a retired one': 'local/old 512',
  });
  expect(await activeEmbeddingModel(fixture.db)).toMatchObject({ id: 'openai/next', dimensions: 64 });
  expect(await readSwitch(fixture.db)).toBeNull();
  expect(texts(fixture.next.calls)).toHaveLength(4);
  const { rows } = await fixture.db.query('select 1 from engram.next_embeddings');
  expect(rows).toHaveLength(0);
  expect(await daemon.run()).toEqual(['none']);
});

test('a process that dies between chunks is followed by one that pays for no text twice', async () => {
  const first = await fixture.daemon();
  await fixture.remember('a', ...Array.from({ length: 150 }, (_, i) => `memory ${i}`));
  await embedAll(first, 'a');
  await fixture.begin();
  await first.reEmbedder.step(signal);
  await fixture.db.query('update engram.instances set stopped_at = now() where id = $1', [first.instanceId]);

  const second = await fixture.daemon();
  expect((await second.run()).at(-1)).toBe('switched');
  expect(texts(fixture.next.calls)).toHaveLength(150);
  expect(new Set(texts(fixture.next.calls)).size).toBe(150);
});

test('one process at a time; another finds it taken', async () => {
  const [first, second] = [await fixture.daemon(), await fixture.daemon()];
  await fixture.remember('a', 'one');
  await fixture.begin();
  await first.reEmbedder.step(signal);
  expect(await second.reEmbedder.step(signal)).toEqual({ kind: 'elsewhere' });
});

test('a memory edited while its old text is at the new model gets the vector of the new text', async () => {
  const daemon = await fixture.daemon();
  await fixture.remember('a', 'before', 'stays');
  await embedAll(daemon, 'a');
  await fixture.begin();
  let edited = false;
  daemon.races.at('embed:before-store', async () => {
    if (edited) return;
    edited = true;
    await fixture.db.query("update engram.memories set text = 'after' where text = 'before'");
  });
  await daemon.run();
  expect(texts(fixture.next.calls)).toEqual(['before', 'stays', 'after']);
  await embedAll(daemon, 'a');
  expect(await fixture.vectors()).toEqual({ after: 'openai/next 64', stays: 'openai/next 64' });
});

test('a memory edited between its last look and the change does not get the vector of its old text', async () => {
  const daemon = await fixture.daemon();
  await fixture.remember('a', 'before', 'stays');
  const seen = await fixture.observe('a', 'observed before');
  await embedAll(daemon, 'a');
  await fixture.begin();
  daemon.hooks.beforeChange = async () => {
    await fixture.db.query("update engram.memories set text = 'after' where text = 'before'");
    await fixture.db.query("update engram.observations set text = 'observed after' where id = $1", [seen]);
  };
  expect((await daemon.run()).at(-1)).toBe('switched');
  const moved = { after: null, stays: 'openai/next 64', 'observed after': 'local/old 512' };
  expect(await fixture.vectors()).toEqual(moved);
  await embedAll(daemon, 'a');
  expect(await fixture.vectors()).toEqual({
    after: 'openai/next 64',
    stays: 'openai/next 64',
    'observed after': 'openai/next 64',
  });
});

test('a text that the new model cannot take keeps its vector, is marked, and is not asked for again', async () => {
  const daemon = await fixture.daemon();
  await fixture.remember('a', 'good', 'bad');
  await embedAll(daemon, 'a');
  await fixture.begin();
  const embed = fixture.next.embed.bind(fixture.next);
  fixture.next.embed = async (asked, options) => {
    const vectors = await embed(asked, options);
    return vectors.map((vector, at) => (asked[at] === 'bad' ? vector.fill(Number.NaN) : vector));
  };
  expect((await daemon.run()).at(-1)).toBe('switched');
  expect(await fixture.vectors()).toEqual({ good: 'openai/next 64', bad: 'local/old 512' });
  const asked = fixture.next.calls.length;
  expect(await daemon.embedPending('a', { signal })).toEqual({ embedded: 0, remaining: 0 });
  expect(fixture.next.calls.length).toBe(asked);
});

test('recall during the switch finds every row with the old model, and with the new one afterwards', async () => {
  const [worker, other] = [await fixture.daemon(), await fixture.daemon()];
  await fixture.remember('a', 'zebra crossing', 'lighthouse keeper');
  await embedAll(worker, 'a');
  await fixture.begin();
  const hold = worker.races.hold('switch:before-commit');
  const running = worker.run();
  await hold.reached;
  for (const daemon of [worker, other]) {
    const during = await daemon.recall('a', 'zebra lighthouse');
    expect(during.items).toHaveLength(2);
    expect(daemon.embedder.model.id).toBe('local/old');
  }
  hold.release();
  expect((await running).at(-1)).toBe('switched');
  // Neither was told: each notices by itself, its cached matrix of the old model notwithstanding.
  for (const daemon of [other, worker]) {
    const [hit] = await daemon.vectors.nearest([
      {
        bankId: 'a',
        target: 'memories',
        model: 'openai/next',
        limit: 5,
        liveOnly: true,
        vector: (await fixture.next.embed(['zebra'], { purpose: 'query' }))[0] ?? new Float32Array(64),
      },
    ]);
    expect(hit).toHaveLength(2);
    expect((await daemon.recall('a', 'zebra lighthouse')).items).toHaveLength(2);
    expect(daemon.embedder.model.id).toBe('openai/next');
    const [left] = await daemon.vectors.nearest([
      {
        bankId: 'a',
        target: 'memories',
        model: 'local/old',
        limit: 5,
        liveOnly: true,
        vector: (await fixture.old.embed(['zebra'], { purpose: 'query' }))[0] ?? new Float32Array(512),
      },
    ]);
    expect(left).toEqual([]);
  }
});

test('a query embedded by the old model and searched after the change is asked again with the new one', async () => {
  const [worker, other] = [await fixture.daemon(), await fixture.daemon()];
  await fixture.remember('a', 'zebra crossing');
  await embedAll(worker, 'a');
  await fixture.begin();
  let isChanged = false;
  fixture.old.onEmbed = async ({ purpose }) => {
    if (purpose !== 'query' || isChanged) return;
    isChanged = true;
    await worker.run();
  };
  const found = await other.recall('a', 'zebra');
  expect(isChanged).toBe(true);
  expect(found.items).toHaveLength(1);
  expect(fixture.next.calls.some((call) => call.purpose === 'query')).toBe(true);
});

test('vectors of the old model that arrive after the change are not stored', async () => {
  const [worker, other] = [await fixture.daemon(), await fixture.daemon()];
  await fixture.remember('a', 'late');
  await fixture.begin();
  let isChanged = false;
  other.races.at('embed:before-store', async () => {
    if (isChanged) return;
    isChanged = true;
    await worker.run();
    await fixture.db.query("update engram.memories set embedding = null, embedding_model = null where text = 'late'");
  });
  expect(await other.embedPending('a', { signal })).toEqual({ embedded: 0, remaining: 1 });
  expect(await other.embedPending('a', { signal })).toEqual({ embedded: 1, remaining: 0 });
  expect(await fixture.vectors()).toEqual({ late: 'openai/next 64' });
});

test('rows with a vector of a model that was left are embedded again, observations too', async () => {
  const daemon = await fixture.daemon();
  const [id] = await fixture.remember('a', 'brought back');
  await embedAll(daemon, 'a');
  await fixture.db.query('update engram.memories set invalidated_at = now() where id = $1', [id]);
  await fixture.begin();
  await daemon.run();
  await fixture.db.query('update engram.memories set invalidated_at = null where id = $1', [id]);
  await fixture.observe('a', 'restored');
  await embedAll(daemon, 'a');
  expect(await fixture.vectors()).toEqual({ 'brought back': 'openai/next 64', restored: 'openai/next 64' });
});

test('a spent budget leaves everything as it was, and the next step goes on', async () => {
  const daemon = await fixture.daemon();
  await fixture.remember('a', 'one');
  await fixture.begin();
  fixture.next.onEmbed = () => {
    throw new BudgetSpentError('spent', new Date());
  };
  await expect(daemon.reEmbedder.step(signal)).rejects.toThrow('spent');
  fixture.next.onEmbed = undefined;
  expect((await daemon.run()).at(-1)).toBe('switched');
});

test('a cancelled switch leaves nothing; what was at the model is not kept', async () => {
  const daemon = await fixture.daemon();
  await fixture.remember('a', 'one', 'two');
  await embedAll(daemon, 'a');
  await fixture.begin();
  daemon.races.at('embed:before-store', async () => void (await cancelSwitch(fixture.db)));
  await daemon.reEmbedder.step(signal);
  expect(await daemon.run()).toEqual(['none']);
  expect(await measureSwitch(fixture.db, 'openai/next')).toMatchObject({ texts: 2, done: 0 });
  expect(await fixture.vectors()).toEqual({ one: 'local/old 512', two: 'local/old 512' });
  const { rows } = await fixture.db.query('select 1 from engram.next_embeddings');
  expect(rows).toHaveLength(0);
});

test('a switch cancelled right before the change does not happen', async () => {
  const daemon = await fixture.daemon();
  await fixture.remember('a', 'one');
  await embedAll(daemon, 'a');
  await fixture.begin();
  daemon.hooks.beforeChange = () => fixture.db.tx({ label: 'cancel' }, (tx) => cancelSwitch(tx));
  expect((await daemon.run()).at(-1)).toBe('none');
  expect(await activeEmbeddingModel(fixture.db)).toMatchObject({ id: 'local/old' });
  expect(await fixture.vectors()).toEqual({ one: 'local/old 512' });
});

test('a death before the commit of the change leaves the old model, and the next process makes the change alone', async () => {
  const [first, second] = [await fixture.daemon(), await fixture.daemon()];
  await fixture.remember('a', 'one', 'two');
  await embedAll(first, 'a');
  await fixture.begin();
  first.races.at('switch:before-commit', () => {
    throw new Error('killed');
  });
  await expect(first.run()).rejects.toThrow('killed');
  expect(await fixture.vectors()).toEqual({ one: 'local/old 512', two: 'local/old 512' });
  await fixture.db.query('update engram.instances set stopped_at = now() where id = $1', [first.instanceId]);
  const asked = fixture.next.calls.length;
  expect((await second.run()).at(-1)).toBe('switched');
  expect(fixture.next.calls.length).toBe(asked);
  expect(await fixture.vectors()).toEqual({ one: 'openai/next 64', two: 'openai/next 64' });
});

test('a deleted memory takes its vector of the model to come with it', async () => {
  const daemon = await fixture.daemon();
  await fixture.remember('a', 'one');
  await fixture.begin();
  await daemon.reEmbedder.step(signal);
  await fixture.db.query("delete from engram.memories where text = 'one'");
  const { rows } = await fixture.db.query('select 1 from engram.next_embeddings');
  expect(rows).toHaveLength(0);
});

test('a daemon that cannot ask the next model says why, and leaves the switch to one that can', async () => {
  const [unable, able] = [await fixture.daemon(), await fixture.daemon()];
  const cannotOpen = createReEmbedder({
    ...{ db: fixture.db, log: silentLog, metrics: fixture.metrics, racepoints: unable.races },
    ...{ instanceId: unable.instanceId, prepare: async () => undefined, dispose: async () => undefined },
    open: () => {
      throw new EmbeddingModelUnavailableError('openai/next needs its endpoint');
    },
  });
  await fixture.remember('a', 'one', 'two');
  await embedAll(able, 'a');
  await fixture.begin();
  await expect(cannotOpen.step(signal)).rejects.toThrow('needs its endpoint');
  expect(await readSwitch(fixture.db)).toMatchObject({ workerId: null, problem: 'openai/next needs its endpoint' });
  expect(await able.reEmbedder.step(signal)).toEqual({ kind: 'embedded', texts: 2 });
  await expect(cannotOpen.step(signal)).rejects.toThrow('needs its endpoint');
  expect(await readSwitch(fixture.db)).toMatchObject({ workerId: able.instanceId, problem: null });
  expect((await able.run()).at(-1)).toBe('switched');
});

test('one whose endpoint refuses leaves it as well', async () => {
  const [unable, able] = [await fixture.daemon(), await fixture.daemon()];
  await fixture.remember('a', 'one');
  await embedAll(able, 'a');
  await fixture.begin();
  fixture.next.onEmbed = () => {
    throw new BudgetSpentError('spent', new Date());
  };
  await expect(unable.reEmbedder.step(signal)).rejects.toThrow('spent');
  fixture.next.onEmbed = undefined;
  expect(await readSwitch(fixture.db)).toMatchObject({ workerId: null, problem: 'spent' });
  expect(await able.reEmbedder.step(signal)).toEqual({ kind: 'embedded', texts: 1 });
  expect(await readSwitch(fixture.db)).toMatchObject({ workerId: able.instanceId, problem: null });
});

test('the change itself is bound by no limit of time that more rows could reach', async () => {
  const daemon = await fixture.daemon();
  await fixture.remember('a', 'one');
  await embedAll(daemon, 'a');
  await fixture.begin();
  await fixture.db.query('create table limits (statement text, lock text)');
  await fixture.db.query(`create function note_limits() returns trigger language plpgsql as $$ begin
    insert into limits values (current_setting('statement_timeout'), current_setting('lock_timeout'));
    return null; end $$`);
  await fixture.db.query(
    'create trigger noted after update of embedding on engram.memories for each statement execute function note_limits()',
  );
  expect((await daemon.run()).at(-1)).toBe('switched');
  const { rows } = await fixture.db.query('select distinct statement, lock from limits');
  expect(rows).toEqual([{ statement: '0', lock: '5min' }]);
});

test('the index of the model that was left goes with it; if that fails, the change stands', async () => {
  const daemon = await fixture.daemon();
  const { db } = fixture;
  await fixture.remember('a', 'one');
  await embedAll(daemon, 'a');
  await fixture.begin();
  for (const target of ['memories', 'observations'] as const) {
    await db.query(
      `create index ${indexName(target, 'local/old')} on engram.${target} (id) where embedding_model = 'local/old'`,
    );
    await db.query(`create index ${indexName(target, 'openai/next')} on engram.${target} (id)`);
  }
  daemon.hooks.dispose = async (id) => {
    await dropVectorIndex(db, 'memories', id);
    await dropVectorIndex(db, 'observations', id);
    throw new Error('not the owner');
  };
  expect((await daemon.run()).at(-1)).toBe('switched');
  const { rows } = await db.query<{ name: string }>(
    "select indexname as name from pg_indexes where schemaname = 'engram' and indexname = any($1) order by 1",
    [['local/old', 'openai/next'].flatMap((id) => [indexName('memories', id), indexName('observations', id)])],
  );
  expect(rows.map((row) => row.name).sort()).toEqual(
    [indexName('memories', 'openai/next'), indexName('observations', 'openai/next')].sort(),
  );
});
