import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { digestMarkdown } from '../../src/sleep/digest/read-digest.ts';
import { createDigestStep } from '../../src/sleep/steps/digest-step.ts';
import { type Digest, findDigest, listDigests, makeDigest } from '../../src/store/digests.ts';
import { decide, observe } from '../consolidation/decide.ts';
import { folds, fresh, sweep, warm } from '../consolidation/sweep-bench.ts';
import { createOp, createWorkbench, observationAlias, type Workbench } from '../consolidation/workbench.ts';
import { curationOf } from '../curation/curation-bench.ts';
import { stepContext } from './step-context.ts';

let bench: Workbench;
let instanceId: string;
beforeAll(async () => {
  bench = await createWorkbench();
  const [row] = await bench.rows<{ id: string }>('select id from engram.instances limit 1');
  instanceId = row?.id ?? '';
});
beforeEach(async () => {
  await bench.rows('delete from engram.banks');
  await bench.rows('delete from engram.digests');
  await bench.freshBank();
});
afterAll(() => bench.close());

async function cycle(): Promise<string> {
  const id = uuid();
  await bench.rows(
    `insert into engram.sleep_cycles (id, trigger, is_forced, instance_id, finished_at, outcome)
     values ($1, 'idle', false, $2, now(), 'clean')`,
    [id, instanceId],
  );
  return id;
}

/** The digest of a night that ends now. */
async function night(): Promise<Digest> {
  return makeDigest(bench.database.db, { id: uuid(), cycleId: await cycle() });
}

const told = (digest: Digest) => digestMarkdown(bench.database.db, digest);
const { signal } = new AbortController();
const setOf = async (kind: string) =>
  (
    await bench.rows<{ id: string }>(
      'select id from engram.change_sets where bank_id = $1 and kind = $2 order by created_at desc limit 1',
      [bench.bankId, kind],
    )
  )[0]?.id ?? '';

describe('a digest', () => {
  it('tells what was added, superseded and folded, what was refused and why, and what it asks', async () => {
    await observe(bench, { text: 'Ana lives in Rome', mentionedAt: '2026-03-01T00:00:00Z' }, warm, fresh);
    await decide(
      bench,
      'Ana moved to Oslo',
      (batch, memory) => [
        {
          op: 'supersede',
          target: observationAlias(batch, 'Ana lives in Rome'),
          as: 'n1',
          text: 'Ana lives in Oslo',
          memories: [memory],
          validFrom: new Date('2026-03-09'),
          reason: 'moved',
        },
      ],
      '2026-03-09T00:00:00Z',
    );
    await decide(bench, 'Ben owes 12 euro', (_, memory) => [createOp(memory, 'n1', 'Ben owes 99 euro')]);
    bench.decider.adjudicate_ = () => 'same';
    await sweep(bench);
    await bench.rows(
      `insert into engram.conflicts (bank_id, id, left_id, right_id)
       select $1, gen_random_uuid(), least(a.id, b.id), greatest(a.id, b.id) from engram.observations a, engram.observations b
       where a.bank_id = $1 and b.bank_id = $1 and a.text = $2 and b.text = 'Ana lives in Oslo'`,
      [bench.bankId, warm],
    );
    const digest = await night();
    expect(digest.counts).toMatchObject({ added: 3, superseded: 1, folded: 1, conflicts: 0, calls: 0 });
    expect(digest.counts.refused).toBeGreaterThan(0);
    const text = await told(digest);
    expect(text).toContain('Added (3):\n- `Ana lives in Rome`\n');
    expect(text).toContain('- `Ana lives in Rome` → `Ana lives in Oslo`\n');
    expect(text).toContain(`- \`${fresh}\` into \`${warm}\`\n`);
    expect(text).toMatch(/Refused \(\d+\): values-preserved \d+/);
    expect(text).not.toContain('99 euro');
    expect(text).toMatch(/Questions for you \(1\):\n- Which of these holds, .*Oslo/);
    expect(text).toMatch(/engramd conflicts resolve [0-9a-f-]{36} --bank bench-\d+ --keep/);
    await bench.rows("update engram.conflicts set status = 'resolved', resolution = 'both' where bank_id = $1", [
      bench.bankId,
    ]);
    expect(await told(digest), 'it has been answered').not.toContain('Questions');
  });

  it('no longer holds what was forgotten since, not even of yesterday', async () => {
    const [memoryId = ''] = await observe(bench, 'Ana keeps the spare key under the blue pot', 'Ben has a dog');
    await observe(bench, { text: warm });
    const yesterday = await night();
    expect(await told(yesterday)).toContain('blue pot');
    const curation = await curationOf(bench);
    await curation.forget({ bankId: bench.bankId, memoryId, signal });
    const text = await told(yesterday);
    expect(text).not.toContain('blue pot');
    expect(text).not.toContain('[erased]');
    expect(text).toContain('- `Ben has a dog`');
    expect((await findDigest(bench.database.db, yesterday.id))?.counts, 'numbers stay').toEqual(yesterday.counts);
  });

  it('says of what was undone that it was', async () => {
    await observe(bench, warm, fresh);
    bench.decider.adjudicate_ = () => 'same';
    await sweep(bench);
    const digest = await night();
    const line = `- \`${fresh}\` into \`${warm}\``;
    expect(await told(digest)).toContain(`${line}\n`);
    const curation = await curationOf(bench);
    await curation.undo({ bankId: bench.bankId, id: await setOf('sweep'), op: undefined, signal });
    expect(await folds(bench)).toContain('sweep undone');
    expect(await told(digest)).toContain(`${line} (taken back since)\n`);
    expect(await told(await night()), 'what a person does is no news to them').toMatch(
      /^Night of .*: nothing changed\.\n$/,
    );
  });

  it('asks about what waits for a person, until they have decided', async () => {
    const beside = await bench.engineBeside({ apply: 'review' });
    await observe(bench, warm, fresh);
    bench.decider.adjudicate_ = () => 'same';
    await sweep(bench, {}, beside);
    const digest = await night();
    expect(digest.counts).toMatchObject({ folded: 0, proposed: 1 });
    const set = await setOf('sweep');
    expect(await told(digest)).toContain(`\`engramd changes show ${set} --bank ${bench.bankId}\``);
    const curation = await curationOf(bench);
    await curation.approve({ bankId: bench.bankId, id: set, op: undefined, signal });
    const text = await told(digest);
    expect(text).not.toContain('Questions');
    expect(text).toContain(`- \`${fresh}\` into \`${warm}\``);
  });

  it('tells of memories that were given up, until they are tried again; and of steps that failed', async () => {
    const [memoryId] = await bench.remember('nobody makes anything of this');
    await bench.rows("update engram.memories set state = 'parked', state_reason = 'no progress' where id = $1", [
      memoryId,
    ]);
    await bench.rows("insert into engram.events (bank_id, kind, memory_id) values ($1, 'memory.parked', $2)", [
      bench.bankId,
      memoryId,
    ]);
    const digest = await night();
    await bench.rows(
      `insert into engram.sleep_steps (cycle_id, name, position, status, error)
       values ($1, 'integrity', 4, 'failed', 'the disk is full')`,
      [digest.cycleId],
    );
    expect(digest.counts.parked).toBe(1);
    expect(await told(digest)).toContain('- `nobody makes anything of this`: `no progress`');
    expect(await told(digest)).toContain('- integrity failed: `the disk is full`');
    await bench.rows("update engram.memories set state = 'pending' where id = $1", [memoryId]);
    expect(await told(digest)).not.toContain('nobody makes');
  });

  it('tells what mattered: how many were scored, what was pinned and what made room, not what was forgotten since', async () => {
    const [code = '', birthday = '', lunch = '', secret = ''] = await bench.remember(
      'The door code is 4711',
      'Ana has her birthday on 3 May',
      'Lunch was late',
      'Ben keeps a key under the pot',
    );
    const events = (kind: string, detail: object, ...ids: string[]) =>
      bench.rows(
        'insert into engram.events (bank_id, kind, memory_id, detail) select $1, $2, unnest($3::uuid[]), $4::jsonb',
        [bench.bankId, kind, ids, JSON.stringify(detail)],
      );
    await events('memory.scored', { score: 3, by: 'rules/1', entities: [] }, code, birthday, lunch, secret);
    await events('memory.pinned', { pin: 'auto' }, lunch, secret);
    await events('memory.evicted', { for: code }, lunch);
    await events('memory.pinned', { pin: 'auto' }, code);
    await events('memory.pinned', { pin: 'manual' }, birthday);
    await bench.rows("update engram.memories set pin = 'auto', pinned_at = now() where id = any($1)", [[code, secret]]);
    const digest = await night();
    expect(digest.counts).toMatchObject({ scored: 4, pinned: 4, evicted: 1 });
    const text = await told(digest);
    expect(text).toContain('Weighed: 4 memories.\n');
    expect(text).toContain('- `Ana has her birthday on 3 May` (by hand) (unpinned since)\n- `The door code is 4711`\n');
    expect(text).toContain('What mattered, pinned (3):');
    expect(text).toContain('Pinned no more, to make room (1):\n- `Lunch was late`\n');

    const curation = await curationOf(bench);
    await curation.forget({ bankId: bench.bankId, memoryId: secret, signal });
    const later = await told(digest);
    expect(later).toContain('What mattered, pinned (2):');
    expect(later).not.toContain('under the pot');
  });

  it('of before there were scores counts none', async () => {
    const digest = await night();
    await bench.rows("update engram.digests set counts = counts - 'scored' - 'pinned' - 'evicted'");
    expect((await findDigest(bench.database.db, digest.id))?.counts).toMatchObject({
      scored: 0,
      pinned: 0,
      evicted: 0,
    });
  });

  it('counts what models cost in its night, and no other', async () => {
    const { fromAt } = await night();
    const book = (nanoUsd: number, at: string) =>
      bench.rows(
        `insert into engram.model_calls (id, day, bank_id, instance_id, purpose, endpoint, model, request_hash, consolidated,
           prompt_bytes, nano_usd, tokens, unpriced_tokens, outcome, started_at, settled_at)
         values ($1, current_date, $2, $1, 'consolidate', 'http://x/v1', 'm', 'x', 0, 1, $3, 100, 0, 'ok', ${at}, now())`,
        [uuid(), bench.bankId, nanoUsd],
      );
    await book(1_500_000, 'now()');
    await book(9_000_000, "now() - interval '3 days'");
    const digest = await night();
    expect(digest.fromAt.getTime()).toBeGreaterThan(fromAt.getTime());
    expect(digest.counts).toMatchObject({ calls: 1, tokens: 100, nanoUsd: 1_500_000 });
    expect(await told(digest)).toMatch(/nothing changed; 1 call of models, 100 tokens, \$0\.0015\.\n$/);
  });
});

describe('two nights', () => {
  it('neither overlap nor leave a gap', async () => {
    await observe(bench, 'Ana drinks tea');
    const first = await night();
    await observe(bench, 'Ben has a dog');
    const second = await night();
    const third = await night();
    expect(second.fromAt).toEqual(first.toAt);
    expect(third.fromAt).toEqual(second.toAt);
    expect([first, second, third].map(({ counts }) => counts.added)).toEqual([1, 1, 0]);
    expect(await told(first)).not.toContain('Ben');
    expect(await told(second)).not.toContain('Ana');
    const { digests } = await listDigests(bench.database.db, {
      endedFrom: null,
      endedBefore: null,
      after: undefined,
      limit: 10,
    });
    expect(digests.map(({ id }) => id)).toEqual([third.id, second.id, first.id]);
  });

  it('share what falls on their border: it is of the later one, and of that alone', async () => {
    await observe(bench, 'Ana drinks tea');
    const first = await night();
    const second = await night();
    await bench.rows(
      `update engram.change_sets set created_at = date_trunc('milliseconds', d.to_at)
       from engram.digests d where d.id = $1`,
      [first.id],
    );
    expect(await told(first)).toContain('nothing changed');
    expect(await told(second)).toContain('- `Ana drinks tea`');
  });

  it('the first of all tells of a day at most', async () => {
    await observe(bench, 'Ana drinks tea');
    await bench.rows("update engram.instances set started_at = now() - interval '90 days'");
    const first = await night();
    expect(first.toAt.getTime() - first.fromAt.getTime()).toBe(24 * 3600 * 1000);
    expect(first.counts.added).toBe(1);
  });
});

describe('the digest step', () => {
  it('makes one digest a cycle, however often it is run, and says what came of the night', async () => {
    const step = createDigestStep({ db: bench.database.db, newId: () => uuid() });
    await observe(bench, 'Ana drinks tea');
    const context = stepContext({ cycleId: await cycle() });
    expect(await step.run(context)).toEqual({ kind: 'done', note: '1 added' });
    await observe(bench, 'Ben has a dog');
    expect(await step.run(context)).toEqual({ kind: 'done', note: '1 added' });
    expect(await bench.rows('select from engram.digests')).toHaveLength(1);
    expect(await step.run(stepContext({ cycleId: await cycle() }))).toEqual({ kind: 'done', note: '1 added' });
    expect(await step.run(stepContext({ cycleId: await cycle() }))).toEqual({ kind: 'done', note: 'nothing changed' });
  });

  it('of a leader who leads no more makes none', async () => {
    const step = createDigestStep({ db: bench.database.db, newId: () => uuid() });
    const lost = stepContext({ cycleId: await cycle(), save: () => Promise.reject(new Error('somebody else leads')) });
    await expect(step.run(lost)).rejects.toThrow('somebody else leads');
    expect(await bench.rows('select from engram.digests')).toEqual([]);
  });
});
