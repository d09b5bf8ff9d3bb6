import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createConsolidationEngine } from '../../src/consolidation/create-engine.ts';
import { ScriptedDecider } from '../consolidation/workbench.ts';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

let fixture: ApiFixture;
const bank = '/v1/banks/home';
const nobody = '00000000-0000-7000-8000-000000000000';

beforeAll(async () => {
  fixture = await createApiFixture();
});
afterAll(() => fixture.close());

/** A memory, and the observation that the scripted decider makes of it. */
async function consolidated(text: string): Promise<{ memory: string; observation: string }> {
  const written = bodyOf<{ memories: { id: string }[] }>(await fixture.post(`${bank}/memories`, { text }));
  await fixture.embed('home');
  const engine = createConsolidationEngine({
    ...fixture.deps,
    decider: new ScriptedDecider(),
    instanceId: fixture.deps.instance.id,
    concurrency: 1,
    apply: 'auto',
    random: () => 0.5,
  });
  await engine.runSlice({ bankId: 'home', trigger: 'requested', signal: new AbortController().signal });
  const memory = written.memories[0]?.id ?? '';
  const { cited_by: citations } = bodyOf<{ cited_by: { observation_id: string }[] }>(
    await fixture.get(`${bank}/memories/${memory}`),
  );
  return { memory, observation: citations[0]?.observation_id ?? '' };
}

const forget = (id: string, of = bank) => fixture.app.inject({ method: 'DELETE', url: `${of}/memories/${id}` });
const invalidate = (id: string, of = bank) => fixture.post(`${of}/memories/${id}/invalidate`, {});

describe('a memory', () => {
  it('is invalidated: it says what rests on it, and the bank is due', async () => {
    const { memory, observation } = await consolidated('Ana drinks tea');
    fixture.asked.length = 0;
    const first = await invalidate(memory);
    expect(first.statusCode).toBe(200);
    expect(bodyOf(first)).toMatchObject({
      id: memory,
      already: false,
      observations: [{ id: observation, text: 'Ana drinks tea', fate: 'retire' }],
    });
    expect(fixture.asked).toEqual(['hint home']);
    expect(bodyOf(await invalidate(memory))).toMatchObject({ already: true });
    expect(bodyOf(await fixture.get(`${bank}/memories/${memory}`))).toMatchObject({
      invalidated_at: bodyOf(first).invalidated_at,
    });
  });

  it('is forgotten: it is gone with what rested on it, and so is the answer to who asks again', async () => {
    const { memory, observation } = await consolidated('Ben drinks milk');
    const answer = await forget(memory);
    expect(answer.statusCode).toBe(200);
    expect(bodyOf(answer)).toEqual({
      forgotten: memory,
      rewritten: [],
      deleted: [observation],
      scrubbed_ops: expect.any(Number),
      conflicted_changes: [],
      backups_expire_at: null,
      store_restored_at: null,
    });
    expect((await fixture.get(`${bank}/memories/${memory}`)).statusCode).toBe(404);
    expect((await forget(memory)).statusCode).toBe(404);
  });

  it('says until when the last backup holds it', async () => {
    const { memory } = await consolidated('Ben drinks tea');
    await fixture.db.query(
      `insert into engram.backups (id, instance_id, host, trigger, folder, status, started_at)
       select gen_random_uuid(), gen_random_uuid(), 'here', 'due', folder, status, at::timestamptz
       from (values ('a', 'verified', '2026-03-01T03:00:00Z'), ('b', 'failed', '2026-03-02T03:00:00Z'),
         (null, 'failed', '2026-03-03T03:00:00Z'), ('c', 'pruned', '2026-03-04T03:00:00Z')) as b(folder, status, at)`,
    );
    expect(bodyOf(await forget(memory))).toMatchObject({
      backups_expire_at: '2026-03-16T03:00:00.000Z',
      store_restored_at: null,
    });
    await fixture.db.query('delete from engram.backups');
  });

  it('may be held by backups from before a restore, which no row tells of', async () => {
    const { memory: first } = await consolidated('Ben drinks cocoa');
    const { memory: second } = await consolidated('Ben drinks juice');
    await fixture.db.query(`update engram.store set restored_at = '2026-03-05T10:00:00Z'`);
    expect(bodyOf(await forget(first))).toMatchObject({
      backups_expire_at: '2026-03-19T10:00:00.000Z',
      store_restored_at: '2026-03-05T10:00:00.000Z',
    });
    await fixture.db.query(
      `insert into engram.backups (id, instance_id, host, trigger, folder, status, started_at)
       values (gen_random_uuid(), gen_random_uuid(), 'here', 'due', 'a', 'verified', '2026-03-06T03:00:00Z')`,
    );
    expect(bodyOf(await forget(second))).toMatchObject({ backups_expire_at: '2026-03-20T03:00:00.000Z' });
    await fixture.db.query('delete from engram.backups');
    await fixture.db.query('update engram.store set restored_at = null');
  });

  it.each([['invalidated', invalidate] as const, ['forgotten', forget] as const])(
    'that is not there cannot be %s',
    async (_, act) => {
      expect(bodyOf(await act(nobody))).toMatchObject({ error: { code: 'NOT_FOUND' } });
      expect(bodyOf(await act(nobody, '/v1/banks/none'))).toMatchObject({ error: { code: 'BANK_NOT_FOUND' } });
      expect((await act('x')).statusCode).toBe(422);
    },
  );
});

describe('a consolidation', () => {
  it('decides again what another decider has decided, and what was held', async () => {
    await fixture.db.query("update engram.memories set decided_by = 'other/1' where state = 'consolidated'");
    const { memory } = await consolidated('Cy drinks water');
    await fixture.db.query("update engram.memories set state = 'held' where id = $1", [memory]);
    await consolidated('Di drinks wine');
    await fixture.db.query("update engram.memories set decided_by = 'other/1' where text = 'Di drinks wine'");
    fixture.asked.length = 0;
    const both = await fixture.post(`${bank}/consolidations`, { again: true, held: true });
    expect(both.statusCode).toBe(202);
    expect(bodyOf(both)).toEqual({ job_id: 'job-1', again: 1, held: 1 });
    expect(fixture.asked).toEqual(['consolidate home']);
    expect(bodyOf(await fixture.post(`${bank}/consolidations`, { again: true, held: true }))).toMatchObject({
      again: 0,
      held: 0,
    });
    expect(bodyOf(await fixture.post(`${bank}/consolidations`, {}))).toMatchObject({ again: 0, held: 0 });
  });

  it('that only tells what it would do makes nothing due', async () => {
    expect((await fixture.post(`${bank}/consolidations`, { dry_run: true, again: true })).statusCode).toBe(422);
  });
});
