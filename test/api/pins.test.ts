import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRpcDispatcher } from '../../src/api/rpc.ts';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

let fixture: ApiFixture;
let id: string;
beforeAll(async () => {
  fixture = await createApiFixture({ settings: { pinCap: 1 } });
  id = await remember('Ana is allergic to nuts');
});
afterAll(() => fixture.close());

async function remember(text: string): Promise<string> {
  const written = await fixture.post('/v1/banks/b/memories', { text });
  return bodyOf<{ memories: { id: string }[] }>(written).memories[0]?.id ?? '';
}
const path = (of: string, what: 'pin' | 'unpin', bank = 'b') => `/v1/banks/${bank}/memories/${of}/${what}`;
const memory = async (of: string) => (await fixture.get(`/v1/banks/b/memories/${of}`)).json();
const unknown = '01890000-0000-7000-8000-00000000dead';

describe('a pin', () => {
  test('is set and taken away, tells what it found, and stands in memory, explain, list, recall and timeline', async () => {
    expect(await memory(id)).toMatchObject({ significance: null, pin: null, pinned_at: null });
    const auto = await remember('Ben keeps bees');
    await fixture.db.query("update engram.memories set pin = 'auto', pinned_at = now() where id = $1", [auto]);

    const pinned = await fixture.post(path(id, 'pin'), {});
    expect([pinned.statusCode, pinned.json()]).toEqual([200, { id, pin: 'manual', already: false, evicted: [auto] }]);
    expect((await fixture.post(path(id, 'pin'), {})).json()).toMatchObject({ already: true, evicted: [] });
    expect(await memory(id)).toMatchObject({ pin: 'manual', pinned_at: expect.any(String) });
    expect((await fixture.get(`/v1/banks/b/explain/${id}`)).json()).toMatchObject({
      why: expect.stringMatching(/pinned by hand/),
      memory: { pin: 'manual' },
    });
    const list = (await fixture.get('/v1/banks/b/memories?pinned=true')).json();
    expect(list).toMatchObject({ memories: [{ id }], next_cursor: null });
    const recalled = await fixture.post('/v1/banks/b/recall', { query: 'bees', pinned: true });
    expect(recalled.json()).toMatchObject({
      items: [
        { id, pinned: true },
        { id: auto, pinned: false },
      ],
    });

    expect((await fixture.post(path(id, 'unpin'), {})).json()).toEqual({ id, pin: null, already: false, evicted: [] });
    expect((await fixture.post(path(id, 'unpin'), {})).json()).toMatchObject({ already: true });
    expect(await memory(id)).toMatchObject({ pin: null, pinned_at: null });
    const { events } = bodyOf<{ events: { kind: string; memory_id: string }[] }>(
      await fixture.get('/v1/banks/b/events?limit=3'),
    );
    expect(events.map((event) => [event.kind, event.memory_id])).toEqual([
      ['memory.unpinned', id],
      ['memory.evicted', auto],
      ['memory.pinned', id],
    ]);
  });

  test('is a call of the control socket too', async () => {
    const dispatch = createRpcDispatcher(fixture.deps);
    const { signal } = new AbortController();
    const call = (method: string) => dispatch({ jsonrpc: '2.0', id: 1, method, params: { bank: 'b', id } }, signal);
    expect(await call('pinMemory')).toMatchObject({ result: { id, pin: 'manual' } });
    expect(await call('unpinMemory')).toMatchObject({ result: { id, pin: null } });
  });
});

describe('refused is', () => {
  test.each(['pin', 'unpin'] as const)('to %s what is not there', async (what) => {
    const missing = await fixture.post(path(unknown, what), {});
    expect([missing.statusCode, missing.json()]).toMatchObject([404, { error: { code: 'NOT_FOUND' } }]);
    const elsewhere = await fixture.post(path(id, what, 'nobody'), {});
    expect([elsewhere.statusCode, elsewhere.json()]).toMatchObject([404, { error: { code: 'BANK_NOT_FOUND' } }]);
    expect((await fixture.post(path('seven', what), {})).statusCode).toBe(422);
  });

  test('to pin what nobody believes any more', async () => {
    const gone = await remember('Cy lives in Oslo');
    await fixture.post(`/v1/banks/b/memories/${gone}/invalidate`, {});
    const answer = await fixture.post(path(gone, 'pin'), {});
    expect([answer.statusCode, answer.json()]).toMatchObject([409, { error: { code: 'MEMORY_INVALIDATED' } }]);
  });

  test('to ask for pinned memories among observations', async () => {
    const answer = await fixture.post('/v1/banks/b/recall', { query: 'x', pinned: true, only: 'observations' });
    expect([answer.statusCode, answer.json()]).toMatchObject([422, { error: { details: [{ path: 'pinned' }] } }]);
    expect((await fixture.get('/v1/banks/b/memories?pinned=maybe')).statusCode).toBe(422);
  });
});
