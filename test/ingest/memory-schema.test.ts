import { describe, expect, test } from 'vitest';
import { bankNameSchema } from '../../src/ingest/bank-name.ts';
import { fieldErrors, fieldErrorsText } from '../../src/ingest/field-errors.ts';
import { maxTextBytes, memoryInputSchema, memoryInputsSchema } from '../../src/ingest/memory-schema.ts';

function refusal(input: unknown): string {
  const parsed = memoryInputSchema.safeParse(input);
  return parsed.success ? 'accepted' : fieldErrorsText(fieldErrors(parsed.error));
}

const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) });

describe('a memory', () => {
  test('with every field passes as it is', () => {
    const memory = {
      text: 'Ann moved to Lund.',
      context: 'A call about the flat.',
      kind: 'experience',
      tags: ['ann', 'home'],
      occurred_start: '2026-02-03',
      occurred_end: '2026-02-03T10:00:00+02:00',
      mentioned_at: '2026-02-04T09:30:15.123456Z',
      source_ref: 'calls/17',
      entities: ['Ann'],
      metadata: { channel: 'phone', nested: { n: 1 } },
      dialogue: ['Ann: I moved.', { role: 'user', content: 'Where?' }],
      idempotency_key: 'k-1',
    };
    expect(memoryInputSchema.parse(memory)).toEqual(memory);
  });

  test.each<[string, unknown, string]>([
    ['nothing', undefined, 'required'],
    ['a list', [], 'must be an object'],
    ['no text', {}, 'text: required'],
    ['a number as text', { text: 5 }, 'text: must be a string'],
    ['an empty text', { text: '' }, 'text: must not be blank'],
    ['a blank text', { text: ' \n\t' }, 'text: must not be blank'],
    ['NUL', { text: 'a\0b' }, 'text: must not contain NUL characters'],
    ['a lone surrogate', { text: 'a\ud800b' }, 'text: must not contain lone surrogates'],
    ['a blank context', { text: 'a', context: '' }, 'context: must not be blank'],
    ['an unknown field', { text: 'a', colour: 'red' }, 'colour: unknown field'],
    ['two faults', { text: '', kind: 'dream' }, 'text: must not be blank; kind: must be "world" or "experience"'],
    ['33 tags', { text: 'a', tags: Array.from({ length: 33 }, (_, i) => `t${i}`) }, 'tags: must be at most 32 tags'],
    ['a long tag', { text: 'a', tags: ['ok', 'x'.repeat(65)] }, 'tags[1]: must be at most 64 characters long'],
    [
      'tags of many bytes',
      { text: 'a', tags: Array.from({ length: 32 }, () => 'é'.repeat(64)) },
      'tags: must be at most 1600 bytes of UTF-8 in total, are 4096',
    ],
    [
      'tags that grow where secrets are removed',
      { text: 'a', tags: ['password=hunter2', 'y'.repeat(18), ...Array.from({ length: 29 }, () => 'x'.repeat(54))] },
      'tags: must be at most 1600 bytes of UTF-8 in total, are 1609',
    ],
    ['a blank tag', { text: 'a', tags: [' '] }, 'tags[0]: must not be blank'],
    ['one tag', { text: 'a', tags: 'x' }, 'tags: must be an array'],
    ['entities with NUL', { text: 'a', entities: ['a\0'] }, 'entities[0]: must not contain NUL characters'],
    ['metadata as a list', { text: 'a', metadata: [1] }, 'metadata: must be an object'],
    ['NUL in metadata', { text: 'a', metadata: { a: [{ b: '\0' }] } }, 'metadata: must not contain NUL characters'],
    ['a surrogate in a key', { text: 'a', metadata: { '\udc00': 1 } }, 'metadata: must not contain lone surrogates'],
    ['deep metadata', { text: 'a', metadata: nested(9) }, 'metadata: must not be nested deeper than 8 levels'],
    [
      'much metadata',
      { text: 'a', metadata: { a: 'x'.repeat(8192) } },
      'metadata: must be at most 8192 bytes of JSON, is 8200',
    ],
    ['a number in the dialogue', { text: 'a', dialogue: ['hi', 5] }, 'dialogue[1]: must be a string or an object'],
    [
      'an end before its start',
      { text: 'a', occurred_start: '2026-02-03', occurred_end: '2026-02-02' },
      'occurred_end: must not be before occurred_start',
    ],
    ['an empty key', { text: 'a', idempotency_key: '' }, 'idempotency_key: must not be blank'],
    [
      'a long key',
      { text: 'a', idempotency_key: 'k'.repeat(256) },
      'idempotency_key: must be at most 255 characters long',
    ],
  ])('with %s is refused by name', (_, input, expected) => {
    expect(refusal(input)).toBe(expected);
  });

  test.each([
    '2026-02-30',
    '2026-02-29',
    '2026-13-01',
    '2026-00-10',
    '0000-01-01',
    '2026-01-01T24:00:00Z',
    '2026-01-01T10:60Z',
    '2026-01-01T10:00:60Z',
    '2026-01-01T10:00+15:00',
    '2026-01-01T10',
    '2026-1-1',
    '20260101',
    '2026-W05',
    '9999-12-31T23:59:59-14:00',
    '0001-01-01T00:00:00+14:00',
    'yesterday',
    '',
  ])('at the time %j is refused', (time) => {
    expect(refusal({ text: 'a', occurred_start: time })).toMatch(
      /^occurred_start: must be an ISO 8601 date or time that exists/,
    );
  });

  test('is measured in bytes of UTF-8, not in characters', () => {
    expect(refusal({ text: 'é'.repeat(maxTextBytes / 2) })).toBe('accepted');
    expect(refusal({ text: `${'é'.repeat(maxTextBytes / 2)}.` })).toBe(
      'text: must be at most 16384 bytes of UTF-8, is 16385',
    );
  });
});

test('an element of an array is named by its position', () => {
  const parsed = memoryInputsSchema.safeParse([{ text: 'a' }, {}, 7, { text: 'b', occurred_start: 'x', tags: [''] }]);
  expect(parsed.success).toBe(false);
  if (parsed.success) return;
  expect(fieldErrors(parsed.error).map((error) => error.path)).toEqual([
    '[1].text',
    '[2]',
    '[3].tags[0]',
    '[3].occurred_start',
  ]);
});

test.each(['default', 'a', 'ann@home', 'team:7.b_c-d', 'ärger', '日記'])('%j is a bank name', (name) => {
  expect(bankNameSchema.safeParse(name).success).toBe(true);
});

test.each(['', ' ', 'a b', 'a/b', '.hidden', '-x', 'a\n', 'a\0', 'x'.repeat(129), 'a\u0308'])(
  '%j is no bank name',
  (name) => {
    expect(bankNameSchema.safeParse(name).success).toBe(false);
  },
);
