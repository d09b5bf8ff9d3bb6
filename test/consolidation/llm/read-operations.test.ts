import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readOperations } from '../../../src/consolidation/llm/read-operations.ts';
import { written } from './batches.ts';

function read(...ops: readonly unknown[]) {
  const result = readOperations({ ops }, 100);
  if (!('value' in result)) throw new Error(result.problem);
  return result.value;
}

const create = written('create', { as: 'n1', text: 'Ana drinks tea', memories: ['m1'] });

describe('reading an answer', () => {
  it('takes operations as they were asked for', () => {
    expect(read(create)).toEqual({
      ops: [
        {
          op: 'create',
          target: null,
          into: null,
          as: 'n1',
          text: 'Ana drinks tea',
          memories: ['m1'],
          validFrom: null,
          reason: 'so',
        },
      ],
      malformed: [],
    });
  });

  it.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['a scalar for a list', { memories: 'm1' }, { memories: ['m1'] }],
    ['a memory twice', { memories: ['m1', 'm2', 'm1'] }, { memories: ['m1', 'm2'] }],
    ['numbers for aliases', { memories: [1, 2] }, { memories: ['m1', 'm2'] }],
    ['aliases in other clothes', { memories: ['M1', ' [m2] ', { id: 'm3' }] }, { memories: ['m1', 'm2', 'm3'] }],
    ['no list', { memories: null }, { memories: [] }],
    ['a field that nobody asked for', { confidence: 0.9 }, {}],
    ['a kind in capitals', { op: ' CREATE ' }, { op: 'create' }],
    ['an empty string for null', { as: '' }, { as: null }],
    ['a date that is none', { valid_from: 5 }, { validFrom: null }],
    ['a reason that is none', { reason: { why: 'x' } }, { reason: '' }],
    ['control characters', { text: 'Ana\u0000 drinks\u001b\n tea\u0085' }, { text: 'Ana drinks\n tea' }],
    ['half a character', { text: 'Ana drinks tea \ud83c' }, { text: 'Ana drinks tea' }],
    ['a whole one', { text: 'Ana drinks 🍵' }, { text: 'Ana drinks 🍵' }],
  ])('bears %s', (_, fields, expected) => {
    expect(read({ ...create, ...fields }).ops).toMatchObject([expected]);
  });

  it('needs no field that does not matter', () => {
    expect(read({ op: 'create', text: 'Ana drinks tea', memories: 'm1' }).ops).toMatchObject([
      { op: 'create', target: null, into: null, as: null, validFrom: null, reason: '' },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['an unknown kind', written('explode', { memories: ['m1'] }), 'op is not'],
    ['no kind', { memories: ['m1'] }, 'op is not'],
    ['a text that is none', { ...create, text: 5 }, 'text is not'],
    ['a memory that is none', { ...create, memories: [[]] }, 'memories is not'],
    ['no text', { ...create, text: ' \u0000' }, 'create without a text'],
    ['no target', written('reinforce', { memories: ['m1'] }), 'reinforce without a target'],
    ['no memory', written('reinforce', { target: 'o1' }), 'reinforce without a memory'],
    ['nothing to fold into', written('fold', { target: 'o1' }), 'fold without'],
    ['a skip without a word (L5)', written('skip', { memories: ['m1'], reason: ' ' }), 'skip without a reason'],
    ['no object', 'create m1', 'not an operation'],
  ])('sets aside %s and keeps the rest', (_, bad, reason) => {
    const { ops, malformed } = read(bad, create);
    expect(ops).toHaveLength(1);
    expect(malformed).toMatchObject([{ reason: expect.stringContaining(reason) }]);
  });

  it('says whose operation it was that is none', () => {
    expect(read(written('explode', { memories: ['m2', 'M2'] }), create).malformed).toMatchObject([
      { memories: ['m2'] },
    ]);
  });

  it.each<[string, unknown]>([
    ['a list without its object', [create]],
    ['one operation without a list', create],
    ['one operation for the list', { ops: create }],
    ['other keys beside it', { thoughts: 'hm', ops: [create] }],
  ])('bears %s', (_, json) => {
    expect(readOperations(json, 10)).toMatchObject({ value: { ops: [{ op: 'create' }] } });
  });

  it.each<[string, unknown]>([
    ['nothing', null],
    ['text', 'no'],
    ['another object', { answer: [] }],
    ['no operations', { ops: [] }],
    ['none that can be read', { ops: [5, {}] }],
  ])('asks for a repair of %s', (_, json) => {
    expect(readOperations(json, 10)).toHaveProperty('problem');
  });

  it('reads no more than a batch can be worth', () => {
    const result = readOperations({ ops: Array.from({ length: 5_000 }, () => create) }, 40);
    expect(result).toMatchObject({ value: { malformed: [{ reason: expect.stringContaining('5000') }] } });
    expect('value' in result && result.value.ops).toHaveLength(40);
  });

  it('lets no pattern look at what is far too long for an alias or a date', () => {
    // Patterns that seek an end took 5 s for the first, in which the process did nothing else.
    const alias = `${']'.repeat(60_000)}x`;
    const date = `2026-03-05T${' '.repeat(60_000)}\nx`;
    const { ops, malformed } = read({ ...create, memories: [alias] }, { ...create, valid_from: date });
    expect(malformed).toHaveLength(1);
    expect(ops.map((op) => op.validFrom?.trim())).toEqual(['2026-03-05T']);
  }, 2000);

  it('keeps reasons short and free of secrets', () => {
    const reason = `because sk-abcdefghijklmnopqrstuvwx12345678 ${'very '.repeat(500)}`;
    const [op] = read({ ...create, reason }).ops;
    expect(op?.reason.length).toBeLessThanOrEqual(510);
    expect(op?.reason).not.toContain('sk-');
  });

  it('comes to an end with any JSON, and lets no bad element take a good one along', () => {
    const field = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom('m1', 'o1', 'n1', 'create', 'skip', null));
    const element = fc.record(
      {
        op: fc.oneof(fc.constantFrom('create', 'reinforce', 'revise', 'supersede', 'fold', 'skip', 'retire'), field),
        target: field,
        into: field,
        as: field,
        text: field,
        memories: field,
        valid_from: field,
        reason: field,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(element, fc.jsonValue({ maxDepth: 2 })), { maxLength: 8 }), (elements) => {
        const before = readOperations({ ops: elements }, 100);
        const after = readOperations({ ops: [...elements, create] }, 100);
        if (!('value' in after)) throw new Error('a good operation was lost');
        const kept = 'value' in before ? before.value.ops : [];
        expect(after.value.ops.slice(0, -1)).toEqual(kept);
        expect(after.value.ops.length + after.value.malformed.length).toBe(elements.length + 1);
        // Whatever is kept is fit for PostgreSQL and for UTF-8.
        for (const op of after.value.ops) {
          expect(`${op.text}${op.reason}`.isWellFormed()).toBe(true);
          expect(`${op.text}${op.reason}`).not.toContain('\u0000');
        }
      }),
    );
  });
});
