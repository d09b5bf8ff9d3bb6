import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Batch, PairToJudge, ProposedOp, Verdict } from '../../../src/consolidation/decider.ts';
import { createRulesDecider } from '../../../src/consolidation/rules/rules-decider.ts';
import { validateProposal } from '../../../src/consolidation/validators/validate-proposal.ts';
import { wordVector } from '../../support/fake-embedder.ts';

const decider = createRulesDecider();
const { signal } = new AbortController();
const options = { signal, bankId: 'any', subjectIds: [] };
const day = (number: number) => new Date(Date.UTC(2026, 2, number));

type Said = readonly [text: string, on: number | null];

function batchOf(memories: readonly Said[], held: readonly Said[] = []): Batch {
  return {
    mission: '',
    memories: memories.map(([text, on], index) => ({
      alias: `m${index + 1}`,
      text,
      context: null,
      occurredStart: null,
      occurredEnd: null,
      mentionedAt: on === null ? null : day(on),
      embedding: wordVector(text),
    })),
    notes: [],
    observations: held.map(([text, on], index) => ({
      alias: `o${index + 1}`,
      text,
      validFrom: on === null ? null : day(on),
      occurredStart: null,
      occurredEnd: null,
      embedding: wordVector(text),
      sources: [],
    })),
  };
}

async function propose(memories: readonly Said[], held: readonly Said[] = []): Promise<readonly ProposedOp[]> {
  const batch = batchOf(memories, held);
  const proposal = await decider.propose(batch, options);
  expect(validateProposal(batch, proposal)).toMatchObject({ rejected: [], unnamed: [] });
  return proposal.ops;
}

/** The ops without their reasons and dates, which other tests look at. */
function outline(ops: readonly ProposedOp[]) {
  return ops.map((op) =>
    [
      op.op,
      'target' in op ? op.target : null,
      'as' in op ? op.as : null,
      'memories' in op ? op.memories.join('+') : null,
    ]
      .filter((part) => part !== null)
      .join(' '),
  );
}

describe('a proposal by rules', () => {
  it('says of itself which rules it follows', () => {
    expect(decider.name).toBe('rules/1');
  });

  it('creates each new fact in the words of its memory, valid from when it was said', async () => {
    const [op] = await propose([['Ana lives in Oslo.', 3]]);
    expect(op).toMatchObject({
      op: 'create',
      as: 'n1',
      text: 'Ana lives in Oslo.',
      memories: ['m1'],
      validFrom: day(3),
    });
  });

  it('dates a memory by when it happened, where that is told', async () => {
    const batch = batchOf([['The pass is closed.', 9]]);
    const [memory] = batch.memories;
    const memories = memory ? [{ ...memory, occurredStart: day(2) }] : [];
    expect((await decider.propose({ ...batch, memories }, options)).ops[0]).toMatchObject({ validFrom: day(2) });
  });

  it('reinforces what is held, in whatever case it comes', async () => {
    expect(
      outline(
        await propose(
          [['ANA LIVES IN OSLO!', 9]],
          [
            ['Ben lives in Rome.', 1],
            ['Ana lives in Oslo.', 1],
          ],
        ),
      ),
    ).toEqual(['reinforce o2 m1']);
  });

  it('sees what it created itself', async () => {
    expect(
      outline(
        await propose([
          ['Ana lives in Oslo.', 1],
          ['ana lives in oslo', 2],
          ['Ana lives in Bergen.', 3],
          ['Ana lives in Bergen!', 4],
        ]),
      ),
    ).toEqual(['create n1 m1', 'reinforce n1 m2', 'supersede n1 n2 m3', 'reinforce n2 m4']);
  });

  it('revises to the fuller text and judges by it from then on', async () => {
    const ops = await propose(
      [
        ['Ana has a cat, Miu.', 2],
        ['Ana has a cat.', 3],
        ['Ana has a cat, Miu.', 4],
      ],
      [['Ana has a cat.', 1]],
    );
    expect(outline(ops)).toEqual(['revise o1 m1', 'reinforce o1 m2', 'reinforce o1 m3']);
    expect(ops[0]).toMatchObject({ text: 'Ana has a cat, Miu.' });
  });

  it('goes back where a preference goes back', async () => {
    expect(
      outline(
        await propose([
          ['Ana drinks tea in the morning.', 1],
          ['Ana drinks coffee in the morning.', 2],
          ['Ana drinks tea in the morning.', 3],
        ]),
      ),
    ).toEqual(['create n1 m1', 'supersede n1 n2 m2', 'supersede n2 n3 m3']);
  });

  it('keeps an old value that comes late as history', async () => {
    const ops = await propose([['The fee is 5 euros.', 1]], [['The fee is 7 euros.', 8]]);
    expect(ops).toMatchObject([
      { op: 'create', as: 'n1', text: 'The fee is 5 euros.', supersededBy: 'o1', validFrom: day(1) },
    ]);
  });

  it('lets a second late memory join the first: what is superseded already cannot be reinforced', async () => {
    const ops = await propose(
      [
        ['The fee is 5 euros.', 1],
        ['the fee is 5 euros', 2],
      ],
      [['The fee is 7 euros.', 8]],
    );
    expect(outline(ops)).toEqual(['create n1 m1+m2']);
  });

  it('supersedes the latest of several values', async () => {
    const held: Said[] = [
      ['The fee is 5 euros.', 2],
      ['The fee is 7 euros.', 5],
      ['The fee is 6 euros.', 4],
    ];
    expect(outline(await propose([['The fee is 9 euros.', 8]], held))).toEqual(['supersede o2 n1 m1']);
  });

  it('flags two values that nothing puts in order, and keeps both', async () => {
    expect(outline(await propose([['The fee is 5 euros.', null]], [['The fee is 7 euros.', 8]]))).toEqual([
      'conflict o1 n1 m1',
    ]);
  });

  it('prefers saying the same to any other relation', async () => {
    const held: Said[] = [
      ['The fee is 5 euros.', 2],
      ['The fee is 7 euros.', 3],
    ];
    expect(outline(await propose([['The fee is 5 euros.', 8]], held))).toEqual(['reinforce o1 m1']);
  });

  it.each(['hi, good morning!', 'Thanks a lot :)', 'ok', '👍', '...'])('skips what says nothing: %s', async (text) => {
    expect(outline(await propose([[text, 1]]))).toEqual(['skip m1']);
  });

  it.each([
    'yes',
    'no',
    'Thanks to Ana the roof is tight.',
    'OK Computer is an album.',
    '42',
    'Hello is the name of the boat.',
  ])('keeps what may say something: %s', async (text) => {
    expect(outline(await propose([[text, 1]]))).toEqual(['create n1 m1']);
  });

  it('stops when it is told to', async () => {
    await expect(
      decider.propose(batchOf([]), { ...options, signal: AbortSignal.abort(new Error('enough')) }),
    ).rejects.toThrow('enough');
  });

  it('names every memory exactly once, in ops that every validator accepts', async () => {
    const text = fc.constantFrom(
      'Ana lives in Oslo.',
      'ana lives in oslo',
      'Ana lives in Bergen.',
      'Ana no longer lives in Oslo.',
      'Ana lives in Oslo, near the harbour.',
      'The fee is 5 euros.',
      'The fee is 7 euros.',
      'The fee has been raised to 9 euros.',
      'Order 1123 is late.',
      'Order 1124 is late.',
      'Ana owes Ben 40 euros.',
      'Ben owes Ana 40 euros.',
      'It rained yesterday.',
      'The pass is open.',
      'The pass is closed.',
      'hi',
      '',
      '!!!',
      'not',
    );
    const said = fc.tuple(text, fc.option(fc.integer({ min: 1, max: 6 })));
    await fc.assert(
      fc.asyncProperty(fc.array(said, { maxLength: 10 }), fc.array(said, { maxLength: 6 }), async (memories, held) => {
        const sorted = [...memories].sort(([, a], [, b]) => (a ?? 0) - (b ?? 0));
        const ops = await propose(sorted, held);
        const named = ops.flatMap((op) => ('memories' in op ? op.memories : []));
        expect([...named].sort()).toEqual(sorted.map((_, index) => `m${index + 1}`).sort());
      }),
      { numRuns: 300 },
    );
  });
});

describe('a verdict by rules', () => {
  const all: readonly Verdict[] = ['same', 'different', 'supersedes', 'superseded_by', 'contradicts'];
  const pair = (held: Said, offered: Said): PairToJudge => ({
    held: { text: held[0], validFrom: held[1] === null ? null : day(held[1]) },
    offered: { text: offered[0], validFrom: offered[1] === null ? null : day(offered[1]) },
    similarity: 0.9,
  });
  const verdict = async (one: PairToJudge, admissible = all) =>
    (await decider.adjudicate(one, admissible, options)).verdict;

  it.each<[Verdict, Said, Said]>([
    ['same', ['Ana lives in Oslo.', 1], ['ana lives in OSLO', 2]],
    ['same', ['Ana lives in Oslo, near the harbour.', 1], ['Ana lives in Oslo.', 2]],
    ['different', ['Ana lives in Oslo.', 1], ['Ana lives in Oslo, near the harbour.', 2]],
    ['supersedes', ['Ana lives in Oslo.', 1], ['Ana lives in Bergen.', 2]],
    ['superseded_by', ['Ana lives in Oslo.', 2], ['Ana lives in Bergen.', 1]],
    ['contradicts', ['Ana lives in Oslo.', null], ['Ana lives in Bergen.', 1]],
    ['different', ['Order 1123 is late.', 1], ['Order 1124 is late.', 2]],
  ])('is %s', async (expected, held, offered) => {
    expect(await verdict(pair(held, offered))).toBe(expected);
  });

  it('is one of the admissible ones, the mildest where its own is not', async () => {
    const moved = pair(['Ana lives in Oslo.', 1], ['Ana lives in Bergen.', 2]);
    expect(await verdict(moved, ['different', 'contradicts'])).toBe('different');
    expect(await verdict(moved, ['contradicts', 'same'])).toBe('contradicts');
  });
});

describe('a rewrite by rules', () => {
  const rewrite = async (text: string, ...sources: readonly Said[]) =>
    (
      await decider.rewrite(
        { text, sources: sources.map(([source, on]) => ({ text: source, mentionedAt: on === null ? null : day(on) })) },
        options,
      )
    ).text;

  it('keeps a text that a source still carries', async () => {
    expect(await rewrite('Ana lives in Oslo.', ['Ana lives in Oslo, near the harbour.', 1], ['Ben cooks.', 2])).toBe(
      'Ana lives in Oslo.',
    );
    expect(await rewrite('Ana lives in Oslo.', ['ana lives in oslo!', 1])).toBe('Ana lives in Oslo.');
  });

  it('takes the newest words left where none does', async () => {
    expect(await rewrite('Ana lives in Oslo.', ['Ana lives in Rome.', 5], ['Ana lives in Bergen.', 3])).toBe(
      'Ana lives in Rome.',
    );
    expect(await rewrite('Order 1123 is late.', ['Order 1124 is late.', 1])).toBe('Order 1124 is late.');
  });

  it('takes the last of sources without a time', async () => {
    expect(await rewrite('Ana lives in Oslo.', ['Ana lives in Rome.', null], ['Ana lives in Bergen.', null])).toBe(
      'Ana lives in Bergen.',
    );
  });
});
