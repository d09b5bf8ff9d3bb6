import { afterAll, beforeAll, expect, it } from 'vitest';
import { createApiFixture } from './api-fixture.ts';

let fixture: Awaited<ReturnType<typeof createApiFixture>>;
beforeAll(async () => {
  fixture = await createApiFixture();
});
afterAll(() => fixture.close());

it('takes, lists and compares snapshots of a bank', async () => {
  const { get, post } = fixture;
  const written = (await post('/v1/banks/b/memories', { text: 'Mara likes paper' })).json();
  const taken = await post('/v1/banks/b/snapshots', {});
  expect(taken.statusCode).toBe(201);
  expect(taken.json()).toMatchObject({
    snapshot: { trigger: 'asked', memories: { pending: 1 }, observations: {}, pinned: 0 },
    pruned: [],
  });
  await post('/v1/banks/b/memories', { text: 'Ana likes tea' });
  await post(`/v1/banks/b/memories/${written.memories[0].id}/invalidate`, {});
  expect((await get('/v1/banks/b/snapshots')).json().snapshots).toEqual([taken.json().snapshot]);

  const diff = await get('/v1/banks/b/snapshots/diff');
  expect(diff.statusCode).toBe(200);
  expect(diff.json()).toMatchObject({
    before: { id: taken.json().snapshot.id },
    after: null,
    memories: { added: 1, invalidated: 1 },
    observations: {},
    next_cursor: null,
  });
  const page = (await get('/v1/banks/b/snapshots/diff?limit=1')).json();
  const rest = (await get(`/v1/banks/b/snapshots/diff?limit=1&cursor=${page.next_cursor}`)).json();
  expect([...page.differences, ...rest.differences]).toEqual(diff.json().differences);
  expect(rest.next_cursor).toBeNull();
  expect(diff.json().differences).toContainEqual({
    type: 'memory',
    id: written.memories[0].id,
    kinds: ['invalidated'],
    before: { version: 1, state: 'pending', pin: null, text: 'Mara likes paper' },
    after: { version: 2, state: 'invalidated', pin: null, text: 'Mara likes paper' },
  });
});

it.each([
  ['/v1/banks/nowhere/snapshots', 404, 'BANK_NOT_FOUND'],
  ['/v1/banks/nowhere/snapshots/diff', 404, 'BANK_NOT_FOUND'],
  ['/v1/banks/b/snapshots/diff?before=latest~9', 404, 'SNAPSHOT_NOT_FOUND'],
  ['/v1/banks/b/snapshots/diff?after=01234567', 404, 'SNAPSHOT_NOT_FOUND'],
  ['/v1/banks/b/snapshots/diff?cursor=x', 422, 'INVALID'],
])('%s is answered with %i %s', async (path, status, code) => {
  await fixture.post('/v1/banks/b/snapshots', {});
  const answer = await fixture.get(path);
  expect([answer.statusCode, answer.json().error.code]).toEqual([status, code]);
});

it('takes none of a bank that is not there', async () => {
  expect((await fixture.post('/v1/banks/nowhere/snapshots', {})).json().error.code).toBe('BANK_NOT_FOUND');
});
