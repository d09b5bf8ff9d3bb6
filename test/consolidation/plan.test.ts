import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withoutRepeats } from '../../src/consolidation/dedup.ts';
import {
  AliasTable,
  groupOps,
  guardOf,
  memoriesOf,
  observationIdsOf,
  type PlannedOp,
  resolveOps,
} from '../../src/consolidation/plan.ts';
import { memoryRef, newText } from './apply-directly.ts';
import { createOp } from './workbench.ts';

const target = (id: string) => ({ id, seen: { text: `text of ${id}`, version: 3 } });
const reinforce = (memory: string, observation: string): PlannedOp => ({
  op: 'reinforce',
  target: target(observation),
  memories: [memoryRef(memory)],
  replan: null,
  reason: '',
});
const skip = (...memories: string[]): PlannedOp => ({
  op: 'skip',
  memories: memories.map((id) => memoryRef(id)),
  reason: '',
});
const fold = (from: string, into: string): PlannedOp => ({
  op: 'fold',
  target: target(from),
  into: target(into),
  reason: '',
});

describe('op groups (L2)', () => {
  it('are joined by a memory, by a target and through others, and keep the order of the answer', () => {
    const ops = [
      reinforce('m1', 'o1'),
      reinforce('m2', 'o2'),
      skip('m3'),
      reinforce('m4', 'o1'),
      skip('m2'),
      fold('o2', 'o1'),
    ];
    const groups = groupOps(ops);
    expect(groups.map((group) => group.ops)).toEqual([[ops[0], ops[1], ops[3], ops[4], ops[5]], [ops[2]]]);
    expect(groups.map((group) => [...group.memberIds].sort())).toEqual([['m1', 'm2', 'm4'], ['m3']]);
  });

  it('are joined by a text: what said it has to be revised before it is said anew', () => {
    const revise: PlannedOp = {
      op: 'revise',
      target: target('o1'),
      content: newText('Ana drinks milk'),
      memories: [memoryRef('m1')],
      replan: null,
      reason: '',
    };
    const create: PlannedOp = {
      op: 'create',
      id: 'n1',
      content: newText('text of o1'),
      memories: [memoryRef('m2')],
      validFrom: null,
      supersededBy: null,
      reason: '',
    };
    expect(groupOps([revise, create, skip('m3')])).toHaveLength(2);
  });

  it('share nothing with each other, and lose nothing', () => {
    const id = (letter: string) => fc.integer({ min: 0, max: 8 }).map((n) => `${letter}${n}`);
    const op = fc.oneof(
      fc.tuple(id('m'), id('o')).map(([m, o]) => reinforce(m, o)),
      fc.tuple(id('m'), id('m')).map((ids) => skip(...ids)),
      fc.tuple(id('o'), id('p')).map(([a, b]) => fold(a, b)),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 20 }), (ops) => {
        const groups = groupOps(ops);
        expect(groups.flatMap((group) => group.ops).length).toBe(ops.length);
        const keys = groups.map(
          (group) =>
            new Set(group.ops.flatMap((one) => [...memoriesOf(one).map((m) => m.id), ...observationIdsOf(one)])),
        );
        keys.forEach((mine, at) => {
          for (const others of keys.slice(at + 1)) expect([...mine].filter((key) => others.has(key))).toEqual([]);
        });
        for (const group of groups) {
          const places = group.ops.map((one) => ops.indexOf(one));
          expect(places).toEqual([...places].sort((a, b) => a - b));
        }
      }),
    );
  });
});

describe('guards (L3)', () => {
  it('compare the version where a row is changed, the text where it is only leant on', () => {
    const revise: PlannedOp = {
      op: 'revise',
      target: target('o'),
      content: newText('x'),
      memories: [],
      replan: null,
      reason: '',
    };
    const retire: PlannedOp = { op: 'retire', target: target('o'), replan: null, wasLive: true, reason: '' };
    expect(guardOf(revise, target('o'))).toBe('version');
    expect(guardOf(retire, target('o'))).toBe('version');
    expect(guardOf(reinforce('m', 'o'), target('o'))).toBe('text');
    expect(guardOf(fold('o', 'p'), target('o'))).toBe('text');
    const kept: PlannedOp = {
      op: 'reinforce',
      target: target('o'),
      memories: [],
      replan: { seen: [], dropped: [] },
      reason: '',
    };
    expect(guardOf(kept, target('o')), 'a replan that keeps the text').toBe('version');
  });
});

describe('aliases', () => {
  it('that nothing stands behind are refused: an invented name never reaches a row', () => {
    const table = new AliasTable(new Map(), new Map(), () => 'id');
    const vectors = new Map([['x', newText('x').embedding]]);
    expect(() => resolveOps([{ op: 'retire', target: 'o9', reason: '' }], table, vectors)).toThrow(/alias o9/);
    expect(() => resolveOps([createOp('m9', 'n1', 'x')], table, vectors)).toThrow(/alias m9/);
  });

  it('a text without a vector is never planned (L6)', () => {
    const table = new AliasTable(new Map(), new Map(), () => 'id');
    expect(() => resolveOps([createOp('m1', 'n1', 'x')], table, new Map())).toThrow(/without a vector/);
  });
});

describe('a text that one answer creates twice', () => {
  it('is created once, with the evidence of both, and what the answer does to the second it does to the first', () => {
    const ops = withoutRepeats([
      createOp('m1', 'n1', 'tea'),
      createOp('m2', 'n2', 'milk'),
      createOp('m3', 'n3', 'tea'),
      { op: 'fold', target: 'o1', into: 'n3', reason: 'twins' },
      { op: 'reinforce', target: 'n3', memories: ['m4'], reason: 'same' },
    ]);
    expect(ops).toMatchObject([
      { op: 'create', as: 'n1', memories: ['m1'] },
      { op: 'create', as: 'n2' },
      { op: 'reinforce', target: 'n1', memories: ['m3'] },
      { op: 'fold', target: 'o1', into: 'n1' },
      { op: 'reinforce', target: 'n1', memories: ['m4'] },
    ]);
  });

  it('stands once beside all that it conflicts with', () => {
    const conflict = (target: string, as: string) =>
      ({ op: 'conflict', target, as, text: 'tea', memories: ['m1'], validFrom: null, reason: 'both' }) as const;
    expect(withoutRepeats([conflict('o1', 'n1'), conflict('o2', 'n2'), createOp('m2', 'n3', 'tea')])).toMatchObject([
      { op: 'conflict', target: 'o1', as: 'n1' },
      { op: 'reinforce', target: 'n1', memories: ['m1'] },
      { op: 'reinforce', target: 'n1', memories: ['m2'] },
    ]);
  });

  it('stays two where the answer ends one of them: tea, coffee, tea', () => {
    const ops = withoutRepeats([
      createOp('m1', 'n1', 'tea'),
      { op: 'supersede', target: 'n1', as: 'n2', text: 'coffee', memories: ['m2'], validFrom: null, reason: 'newer' },
      createOp('m3', 'n3', 'tea'),
    ]);
    expect(ops.map((op) => op.op)).toEqual(['create', 'supersede', 'create']);
  });
});
