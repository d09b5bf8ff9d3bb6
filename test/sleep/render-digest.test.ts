import { describe, expect, it } from 'vitest';
import type { BankView, DigestView } from '../../src/sleep/digest/digest-view.ts';
import { quoted } from '../../src/sleep/digest/markdown-text.ts';
import { renderDigest } from '../../src/sleep/digest/render-digest.ts';
import type { NightOp, NightPin } from '../../src/store/digest-rows.ts';

const free = { calls: 0, tokens: 0, unpricedTokens: 0, nanoUsd: 0 };
const id = '0198c1f0-0000-7000-8000-000000000001';

function op(more: Partial<NightOp> & Pick<NightOp, 'op'>): NightOp {
  return { isUndone: false, before: null, after: null, into: null, ...more };
}

function bank(more: Partial<BankView> = {}): BankView {
  return {
    bankId: 'studio',
    ops: {},
    refused: 0,
    proposed: 0,
    parked: 0,
    scored: 0,
    pins: [],
    examples: [],
    refusals: [],
    conflicts: [],
    proposals: [],
    parkedNow: [],
    ...more,
  };
}

function night(more: Partial<DigestView> = {}): DigestView {
  return {
    fromAt: new Date(2026, 2, 1, 2, 5),
    toAt: new Date(2026, 2, 2, 3, 41),
    banks: [],
    otherBanks: [],
    steps: [],
    cost: free,
    ...more,
  };
}

describe('a night', () => {
  it('in which nothing happened is one line', () => {
    const steps = [{ name: 'dedup', status: 'done', note: 'nothing had changed', error: null }];
    expect(renderDigest(night({ steps }))).toBe('Night of 2026-03-02: nothing changed.\n');
    const cost = { calls: 1, tokens: 1200, unpricedTokens: 0, nanoUsd: 1_500_000 };
    expect(renderDigest(night({ cost }))).toBe(
      'Night of 2026-03-02: nothing changed; 1 call of models, 1,200 tokens, $0.0015.\n',
    );
  });

  it('in which a step failed is never told as one in which nothing happened', () => {
    const steps = [
      { name: 'dedup', status: 'quarantined', note: null, error: null },
      { name: 'contradictions', status: 'failed', note: null, error: 'the disk is full' },
    ];
    expect(renderDigest(night({ steps })).split('\n')).toEqual([
      '# Night of 2026-03-02',
      '',
      'From 2026-03-01 02:05 to 2026-03-02 03:41.',
      '',
      '## The night itself',
      '',
      '- dedup is left alone: it failed too often',
      '- contradictions failed: `the disk is full`',
      '',
    ]);
  });

  it('is told bank by bank: what came, what went, what is asked', () => {
    const view = night({
      cost: { calls: 12, tokens: 34_567, unpricedTokens: 0, nanoUsd: 12_345_678 },
      steps: [{ name: 'drain', status: 'done', note: '12 memories', error: null }],
      banks: [
        bank({
          ops: { create: 3, supersede: 1, fold: 2, reinforce: 7, skip: 1 },
          refused: 3,
          refusals: [
            { validator: 'negation', times: 2 },
            { validator: 'secret', times: 1 },
          ],
          examples: [
            op({ op: 'create', after: 'Ana drinks tea' }),
            op({ op: 'create', after: 'Ben has a dog', isUndone: true }),
            op({ op: 'supersede', before: 'Ana lives in Rome', after: 'Ana lives in Oslo' }),
            op({ op: 'fold', before: 'Ben owns a dog', into: 'Ben has a dog' }),
            op({ op: 'fold', before: 'Cem paints', into: null }),
          ],
          parkedNow: [{ text: 'gibberish', reason: 'no progress' }],
          conflicts: [{ id, left: 'It opens at nine', right: 'It opens at ten' }],
          proposals: [{ id, ops: 2, op: 'retire', before: 'Old news', after: 'Old news' }],
        }),
      ],
    });
    expect(renderDigest(view)).toBe(`# Night of 2026-03-02

From 2026-03-01 02:05 to 2026-03-02 03:41; 12 calls of models, 34,567 tokens, $0.0123.

## \`studio\`

Added (3):
- \`Ana drinks tea\`
- \`Ben has a dog\` (taken back since)
- and 1 more

True before, not any more (1):
- \`Ana lives in Rome\` → \`Ana lives in Oslo\`

Said twice, now one (2):
- \`Ben owns a dog\` into \`Ben has a dog\`
- \`Cem paints\` into what is gone by now

Also: 7 said again, 1 not worth keeping beyond the raw memory.

Refused (3): negation 2, secret 1.

Given up for now; \`engramd jobs retry\` tries again (1):
- \`gibberish\`: \`no progress\`

Questions for you (2):
- Which of these holds, \`It opens at nine\` (left) or \`It opens at ten\` (right)?
  \`engramd conflicts resolve ${id} --bank studio --keep left|right|both\`
- May this happen: retire \`Old news\` and 1 more?
  \`engramd changes show ${id} --bank studio\`, then \`approve\` or \`reject\`

## The night itself

- drain: \`12 memories\`
`);
  });

  it('of ten thousand memories in twenty banks stays short', () => {
    const examples = (['create', 'supersede', 'revise', 'fold', 'retire'] as const).flatMap((kind) =>
      Array.from({ length: 10 }, (_, n) =>
        op({ op: kind, before: `before ${n}`, after: `after ${n}`, into: `root ${n}` }),
      ),
    );
    const ops = { create: 9000, supersede: 400, revise: 300, fold: 200, retire: 100 };
    const conflicts = Array.from({ length: 40 }, (_, n) => ({ id, left: `left ${n}`, right: `right ${n}` }));
    const busy = bank({ ops, examples, conflicts });
    const text = renderDigest(night({ banks: [busy], otherBanks: Array.from({ length: 19 }, () => busy) }));
    expect(text).toContain('Added (9000):\n- `after 0`\n');
    expect(text).toContain('- and 8990 more\n');
    expect(text).toContain(
      'Something changed in 19 more: `studio`, `studio`, `studio`, `studio`, `studio` and 14 others.',
    );
    expect(text).toContain('- and 35 more: `engramd conflicts list --bank studio`');
    expect(text.split('\n').length).toBeLessThanOrEqual(66);
  });

  it('of several banks tells less of each', () => {
    const examples = Array.from({ length: 10 }, (_, n) => op({ op: 'create', after: `text ${n}` }));
    const busy = bank({ ops: { create: 10 }, examples });
    const lines = (banks: number) =>
      renderDigest(night({ banks: Array.from({ length: banks }, () => busy) }))
        .split('\n')
        .filter((line) => line.startsWith('- `'));
    expect([1, 2, 6].map((banks) => lines(banks).length)).toEqual([10, 10, 12]);
  });

  it('of the default bank names no bank in its commands', () => {
    const conflicts = [{ id, left: 'one', right: 'other' }];
    expect(renderDigest(night({ banks: [bank({ bankId: 'default', conflicts })] }))).toContain(
      `engramd conflicts resolve ${id} --keep`,
    );
  });
});

describe("a memory's text in Markdown", () => {
  it.each([
    ['a heading', 'so\n# Ana owes 500\n', '`so # Ana owes 500`'],
    ['a link', '[pay here](https://evil.example)', '`[pay here](https://evil.example)`'],
    ['an address', 'see www.evil.example or a@evil.example', '`see www.evil.example or a@evil.example`'],
    ['markup', '**bold** <b>x</b> _y_ &amp; ~~z~~', '`**bold** <b>x</b> _y_ &amp; ~~z~~`'],
    ['the end of the span', 'x` # [a](b) `y', '``x` # [a](b) `y``'],
    ['two ends', 'x`` y ` z', '```x`` y ` z```'],
    ['backticks at its ends', '`x`', '`` `x` ``'],
    ['orders for a terminal', 'a\u001b[2Jb\u0007c', '`a [2Jb c`'],
    ['other line ends', 'a\u2028b\u2029c\u0085d\r\ne', '`a b c d e`'],
    ['text that reads backwards', 'a\u202Etxt.exe', '`a txt.exe`'],
    ['nothing that can be seen', ' \u0000\n', '(blank)'],
  ])('cannot forge %s', (_, text, shown) => {
    expect(quoted(text)).toBe(shown);
  });

  it('is cut to a line, by characters and not in the midst of one', () => {
    const shown = quoted('😀'.repeat(300));
    expect([...shown]).toHaveLength(162);
    expect(shown).toBe(`\`${'😀'.repeat(159)}…\``);
    expect(quoted('x'.repeat(160))).toBe(`\`${'x'.repeat(160)}\``);
  });

  it('tells what mattered: how much was weighed, what was pinned and what made room, each cut to its share and quoted', () => {
    const pin = (text: string, more: Partial<NightPin> = {}): NightPin => {
      return { change: 'pinned', text, isByHand: false, isPinned: true, ofChange: 10, ...more };
    };
    const pins = [
      pin('the door code is 4711'),
      pin('# never\nrestart on Fridays', { isByHand: true }),
      pin('gone by now', { isPinned: false }),
      pin('old', { change: 'evicted', isPinned: false, ofChange: 1 }),
    ];
    const text = renderDigest(night({ banks: [bank({ scored: 84, pins })] }));
    expect(text).toContain(
      [
        'Weighed: 84 memories.',
        '',
        'What mattered, pinned (10):',
        '- `the door code is 4711`',
        '- `# never restart on Fridays` (by hand)',
        '- `gone by now` (unpinned since)',
        '- and 7 more',
        '',
        'Pinned no more, to make room (1):',
        '- `old`',
        '',
      ].join('\n'),
    );
    expect(renderDigest(night({ banks: [bank({ scored: 1 })] }))).toContain('Weighed: 1 memory.');
  });
});
