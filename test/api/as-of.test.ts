import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { instantOf } from '../../src/api/as-of.ts';
import { createApiFixture } from './api-fixture.ts';

let fixture: Awaited<ReturnType<typeof createApiFixture>>;
beforeAll(async () => {
  fixture = await createApiFixture();
  await fixture.post('/v1/banks/b/memories', { text: 'Mara likes paper' });
  await fixture.db.query(`update engram.banks set created_at = now() - interval '3 days' where id = 'b'`);
});
afterAll(() => fixture.close());

const ask = (body: object) => fixture.post('/v1/banks/b/recall', { query: 'paper', ...body });

describe('an instant', () => {
  const now = new Date('2026-03-29T02:30:00Z');
  it.each([
    ['2026-03-02T09:00:00Z', '2026-03-02T09:00:00.000Z'],
    ['2026-03-02T09:00:00.5+01:00', '2026-03-02T08:00:00.500Z'],
    ['2026-03-02T09:00-0530', '2026-03-02T14:30:00.000Z'],
    ['90s', '2026-03-29T02:28:30.000Z'],
    ['45m', '2026-03-29T01:45:00.000Z'],
    ['2h', '2026-03-29T00:30:00.000Z'],
    ['3d', '2026-03-26T02:30:00.000Z'],
    ['1w', '2026-03-22T02:30:00.000Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ])('%s is %s', (text, at) => expect(instantOf(text, now).toISOString()).toBe(at));
  it.each([
    '',
    'yesterday',
    '2026-03-02',
    '2026-03-02T09:00:00',
    '2026-02-30T09:00:00Z',
    '0h',
    '-2h',
    '2y',
    '2 h',
    'NaN',
  ])('%j is none', (text) =>
    expect(() => instantOf(text, now)).toThrow(`${JSON.stringify(text)} is no instant: expected ISO 8601 with a zone`),
  );
  it.each(['999999w', '0000-12-31T23:59:59Z', '0001-01-01T00:00:00+00:01', '9999-12-31T23:59:59-00:01'])(
    '%s is out of range',
    (text) => expect(() => instantOf(text, now)).toThrow(`${JSON.stringify(text)} is out of range`),
  );
});

it('an as_of that nobody can read is refused in words of its own', async () => {
  const answer = await ask({ as_of: 'last tuesday' });
  expect(answer.statusCode).toBe(400);
  expect(answer.json().error).toMatchObject({
    code: 'AS_OF_UNPARSABLE',
    message: expect.stringContaining('"last tuesday"'),
  });
});

it('an as_of that no database knows is refused in words of its own, and the first and last that it knows are answered', async () => {
  const out = await ask({ as_of: '999999w' });
  expect(out.statusCode).toBe(422);
  expect(out.json().error).toMatchObject({
    code: 'AS_OF_OUT_OF_RANGE',
    message: '"999999w" is out of range: an instant is one of the years 0001 to 9999, in UTC',
  });
  const codeOf = async (as_of: string) => (await ask({ as_of })).json().error.code;
  expect(await codeOf('0001-01-01T00:00:00Z')).toBe('AS_OF_BEFORE_THE_FIRST_CHANGE');
  expect(await codeOf('9999-12-31T23:59:59.999Z')).toBe('AS_OF_IN_THE_FUTURE');
});

it('an as_of in the future is refused in words of its own', async () => {
  const answer = await ask({ as_of: '2999-01-01T00:00:00Z' });
  expect(answer.statusCode).toBe(400);
  expect(answer.json().error).toMatchObject({
    code: 'AS_OF_IN_THE_FUTURE',
    message: '2999-01-01T00:00:00.000Z has not come yet',
  });
});

it('an as_of before the first change of the bank is refused in words of its own', async () => {
  const answer = await ask({ as_of: '2001-01-01T00:00:00Z' });
  expect(answer.statusCode).toBe(400);
  expect(answer.json().error).toMatchObject({
    code: 'AS_OF_BEFORE_THE_FIRST_CHANGE',
    message: expect.stringContaining('2001-01-01T00:00:00.000Z is before the first change of the bank, at 2'),
  });
});

it('asks a bank that is not there, and for pins of then, in vain', async () => {
  const nowhere = await fixture.post('/v1/banks/nowhere/recall', { query: 'paper', as_of: '2h' });
  expect(nowhere.json().error.code).toBe('BANK_NOT_FOUND');
  expect((await ask({ as_of: '2h', pinned: true })).statusCode).toBe(422);
});

it('answers as it would have then, and says what it was asked', async () => {
  const then = await ask({ as_of: '2h' });
  expect(then.json()).toMatchObject({ items: [], as_of: { edited_since: 0 } });
  const now = await ask({});
  expect(now.json()).toMatchObject({ items: [{ text: 'Mara likes paper' }], as_of: null });
});

it('a memory that was edited since is left out, and counted', async () => {
  const { db } = fixture;
  await db.query(`update engram.memories set created_at = now() - interval '1 day' where bank_id = 'b'`);
  expect((await ask({ as_of: '2h' })).json().items).toHaveLength(1);
  await db.query(`update engram.memories set text = 'Mara likes thick paper' where bank_id = 'b'`);
  expect((await ask({ as_of: '2h' })).json()).toMatchObject({ items: [], as_of: { edited_since: 1 } });
});
