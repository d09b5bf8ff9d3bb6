import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Batch } from '../../../src/consolidation/decider.ts';
import { normaliseOperations } from '../../../src/consolidation/llm/normalise-operations.ts';
import { readOperations } from '../../../src/consolidation/llm/read-operations.ts';
import { validateProposal } from '../../../src/consolidation/validators/validate-proposal.ts';
import { batchOf, day, memory, observation, written } from './batches.ts';

const batch = batchOf(
  [
    memory('m1', 'Ana drinks coffee now', { mentionedAt: day('2026-03-05') }),
    memory('m2', 'Ana drinks tea', { mentionedAt: day('2026-03-07') }),
    memory('m3', 'Ana drank water', { mentionedAt: day('2026-02-01') }),
    memory('m4', 'Ana drinks juice', { mentionedAt: null }),
  ],
  [
    observation('o1', 'Ana drinks tea', { validFrom: day('2026-03-01') }),
    observation('o2', 'Ben likes chess', { validFrom: null }),
  ],
);

function mean(ops: readonly Record<string, unknown>[], of: Batch = batch, cut: readonly string[] = []) {
  const read = readOperations({ ops }, 100);
  if (!('value' in read)) throw new Error(read.problem);
  return normaliseOperations(of, new Set(cut), read.value);
}

const supersede = (fields: Record<string, unknown> = {}) =>
  written('supersede', { target: 'o1', as: 'n1', text: 'Ana drinks coffee now', memories: ['m1'], ...fields });

describe('what takes the place of something', () => {
  it('does so where it is the later one', () => {
    expect(mean([supersede()]).ops).toMatchObject([{ op: 'supersede', target: 'o1', validFrom: day('2026-03-05') }]);
  });

  it.each<[string, Record<string, unknown>]>([
    ['has no date', { memories: ['m4'], text: 'Ana drinks juice' }],
    ['takes the place of something without one', { target: 'o2' }],
  ])('is a conflict where it %s', (_, fields) => {
    expect(mean([supersede(fields)]).ops).toMatchObject([{ op: 'conflict' }]);
  });

  it('is a conflict where its day may be before or after', () => {
    const moved = batchOf(
      [memory('m1', 'Ana moved to Porto in February 2026', { mentionedAt: day('2026-03-10') })],
      [observation('o1', 'Ana lives in Lisbon', { validFrom: day('2026-02-20') })],
    );
    const op = supersede({ text: 'Ana lives in Porto', valid_from: '2026-02-01' });
    expect(mean([op], moved).ops).toMatchObject([{ op: 'conflict', validFrom: new Date('2026-02-01T00:00:00Z') }]);
  });

  it('has lost its place already where it is a late word from before', () => {
    expect(mean([supersede({ memories: ['m3'], text: 'Ana drank water' })]).ops).toMatchObject([
      { op: 'create', text: 'Ana drank water', supersededBy: 'o1', validFrom: day('2026-02-01') },
    ]);
  });

  it('takes no date that nobody told', () => {
    expect(mean([supersede({ valid_from: '2030-01-01' })]).ops).toMatchObject([{ validFrom: day('2026-03-05') }]);
    expect(mean([supersede({ memories: ['m3'], valid_from: '2030-01-01' })]).ops).toMatchObject([{ op: 'create' }]);
  });

  it('counts from the first memory after, where others tell of before', () => {
    expect(mean([supersede({ memories: ['m3', 'm2', 'm1'] })]).ops).toMatchObject([
      { op: 'supersede', validFrom: day('2026-03-05') },
    ]);
  });

  it('goes on where it has been taken: tea, then coffee, then tea again', () => {
    const { ops } = mean([supersede(), supersede({ as: 'n2', text: 'Ana drinks tea', memories: ['m2'] })]);
    expect(ops).toMatchObject([
      { op: 'supersede', target: 'o1', as: 'n1' },
      { op: 'supersede', target: 'n1', as: 'n2', text: 'Ana drinks tea' },
    ]);
    expect(validateProposal(batch, { ops }).rejected).toEqual([]);
  });
});

describe('what says nothing new', () => {
  const reinforced = (memories: string[]) => [{ op: 'reinforce', target: 'o1', memories }];

  it.each<[string, Record<string, unknown>]>([
    ['a new observation', written('create', { as: 'n1', text: ' Ana  drinks tea', memories: ['m2'] })],
    ['a revision', written('revise', { target: 'o1', text: 'Ana drinks tea', memories: ['m2'] })],
    ['a successor', supersede({ text: 'Ana drinks tea', memories: ['m2'] })],
    ['a contradiction', { ...supersede({ text: 'Ana drinks tea', memories: ['m2'] }), op: 'conflict' }],
  ])('in the words that are held strengthens them: %s', (_, op) => {
    expect(mean([op]).ops).toMatchObject(reinforced(['m2']));
  });

  it('is one op where it was two', () => {
    const reinforce = (memory: string) => written('reinforce', { target: 'o1', memories: [memory] });
    expect(mean([reinforce('m1'), reinforce('m2')]).ops).toMatchObject(reinforced(['m1', 'm2']));
  });

  it('is not taken for evidence of what the answer ends', () => {
    const again = written('create', { as: 'n2', text: 'Ana drinks tea', memories: ['m2'] });
    expect(mean([supersede(), again]).ops).toMatchObject([{ op: 'supersede' }, { op: 'create' }]);
  });
});

it('a memory said again has its own words, to the byte', () => {
  const spaced = batchOf([memory('m1', 'Ana  drinks\ntea')]);
  const create = written('create', { as: 'n1', text: 'Ana drinks tea ', memories: ['m1'] });
  expect(mean([create], spaced).ops).toMatchObject([{ text: 'Ana  drinks\ntea' }]);
});

describe('two revisions of one target', () => {
  const revise = (text: string, memory: string) => written('revise', { target: 'o2', text, memories: [memory] });

  it('are both done where the second has what the first added', () => {
    const { ops, malformed } = mean([
      revise('Ben likes chess and cycling', 'm1'),
      revise('Ben likes chess, cycling and sailing', 'm2'),
    ]);
    expect(ops).toHaveLength(2);
    expect(malformed).toEqual([]);
  });

  it('are one and a second question where it does not', () => {
    const { ops, malformed } = mean([
      revise('Ben likes chess and cycling', 'm1'),
      revise('Ben likes chess and sailing', 'm2'),
    ]);
    expect(ops).toMatchObject([{ op: 'revise', memories: ['m1'] }]);
    expect(malformed).toMatchObject([{ memories: ['m2'], reason: expect.stringContaining('revised') }]);
  });
});

describe('aliases', () => {
  it('of an answer are our own, whatever the model calls them', () => {
    const create = (as: string | null, text: string) => written('create', { as, text, memories: ['m1'] });
    const { ops } = mean([
      create('o2', 'one'),
      create(null, 'two'),
      create('x', 'three'),
      written('reinforce', { target: 'x', memories: ['m2'] }),
      written('reinforce', { target: 'o2', memories: ['m2'] }),
    ]);
    expect(ops).toMatchObject([
      { as: 'n1' },
      { as: 'n2' },
      { as: 'n3' },
      { op: 'reinforce', target: 'n3' },
      { op: 'reinforce', target: 'o2' },
    ]);
  });

  it('of observations among the memories are left out', () => {
    expect(
      mean([written('revise', { target: 'o2', text: 'Ben likes chess a lot', memories: ['m1', 'o1'] })]).ops,
    ).toMatchObject([{ memories: ['m1'] }]);
    expect(mean([written('reinforce', { target: 'o2', memories: ['o1'] })])).toMatchObject({
      ops: [],
      malformed: [{ reason: 'reinforce without a memory' }],
    });
  });
});

it('a memory that is kept is not skipped as well', () => {
  expect(mean([supersede(), written('skip', { memories: ['m1', 'm2'] })]).ops).toMatchObject([
    { op: 'supersede' },
    { op: 'skip', memories: ['m2'] },
  ]);
});

it('nothing is written over a text that was not shown whole', () => {
  const revise = written('revise', { target: 'o2', text: 'Ben likes chess and cycling', memories: ['m1'] });
  expect(mean([revise], batch, ['o2'])).toMatchObject({ ops: [], malformed: [{ memories: ['m1'] }] });
});

it('whatever a model writes, what supersedes is later, and every created alias is new', () => {
  const alias = fc.constantFrom('m1', 'm2', 'm3', 'm4', 'm9', 'o1', 'o2', 'o9', 'n1', 'n2', null);
  const op = fc.record({
    op: fc.constantFrom('create', 'reinforce', 'revise', 'supersede', 'conflict', 'fold', 'retire', 'skip'),
    target: alias,
    into: alias,
    as: alias,
    text: fc.constantFrom('Ana drinks tea', 'Ana drinks coffee now', 'Ana drank water', 'Ben likes chess', null),
    memories: fc.array(fc.constantFrom('m1', 'm2', 'm3', 'm4', 'm9', 'o1'), { maxLength: 3 }),
    valid_from: fc.constantFrom('2026-03-05', '2026-01-01', '2030-01-01', 'soon', null),
    reason: fc.constantFrom('so', ''),
  });
  fc.assert(
    fc.property(fc.array(op, { minLength: 1, maxLength: 8 }), (ops) => {
      const read = readOperations({ ops }, 100);
      if (!('value' in read)) return;
      const proposal = normaliseOperations(batch, new Set(), read.value);
      const made = proposal.ops.flatMap((one) => ('as' in one ? [one.as] : []));
      expect(new Set(made).size).toBe(made.length);
      for (const { validator, op: refused } of validateProposal(batch, proposal).rejected) {
        expect(validator).not.toBe('supersede-forward');
        // The judges see nothing twice, and nothing unjudged comes through.
        expect(proposal.ops).toContain(refused);
      }
    }),
  );
});
