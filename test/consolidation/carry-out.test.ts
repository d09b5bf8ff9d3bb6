import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { carryOut } from '../../src/consolidation/carry-out.ts';
import { groupOps, type MemoryRef, type PlannedOp, type TargetRef } from '../../src/consolidation/plan.ts';
import type { LockedObservation } from '../../src/store/apply-locks.ts';
import type { ObservationImage } from '../../src/store/change-ops.ts';
import { memoryRef, newText } from './apply-directly.ts';

const now = new Date('2026-04-01T00:00:00Z');

function row(id: string, more: Partial<ObservationImage> = {}): LockedObservation {
  const image: ObservationImage = {
    id,
    text: `text of ${id}`,
    version: 1,
    validFrom: null,
    validTo: null,
    occurredStart: null,
    occurredEnd: null,
    supersededBy: null,
    canonicalId: null,
    retiredAt: null,
    needsReplanAt: null,
    ...more,
  };
  const isLive = [image.supersededBy, image.canonicalId, image.retiredAt].every((mark) => mark === null);
  return { image, tags: [], isLive, embedding: Buffer.from(`vector of ${id}`), embeddingModel: 'model' };
}

function play(ops: readonly PlannedOp[], ...rows: readonly LockedObservation[]) {
  const ids = ['id1', 'id2', 'id3'];
  return carryOut({
    groups: groupOps(ops),
    locked: new Map(rows.map((locked) => [locked.image.id, locked])),
    links: [],
    embeddingModel: 'model',
    changeSetId: 'set',
    now,
    newId: () => ids.shift() ?? '',
  });
}

const target = (id: string): TargetRef => ({ id, seen: { text: `text of ${id}`, version: 1 } });
const own = (id: string): TargetRef => ({ id, seen: null });
const at = (id: string, day: string): MemoryRef => ({
  ...memoryRef(id),
  occurredStart: new Date(day),
  heldAt: new Date(day),
});
const reinforce = (id: string, ...memories: MemoryRef[]): PlannedOp => ({
  op: 'reinforce',
  target: target(id),
  memories,
  replan: null,
  reason: '',
});
const revise = (id: string, text: string, ...memories: MemoryRef[]): PlannedOp => ({
  op: 'revise',
  target: target(id),
  content: newText(text),
  memories,
  replan: null,
  reason: '',
});

describe('carrying out', () => {
  it('leaves a row alone that an op only leans on, and writes none twice', () => {
    const writes = play([reinforce('a', memoryRef('m1')), reinforce('a', memoryRef('m2'))], row('a'));
    expect(writes.updated).toEqual([]);
    expect(writes.links.map((link) => link.memoryId)).toEqual(['m1', 'm2']);
    expect(writes.memories.map((memory) => memory.id)).toEqual(['m1', 'm2']);
  });

  it('widens the bounds of an observation to all that supports it, whichever order it comes in', () => {
    const days = ['2026-03-05', '2026-03-01', '2026-03-09'];
    const writes = play(
      days.map((day, index) => reinforce('a', at(`m${index}`, day))),
      row('a', { validFrom: '2026-03-04T00:00:00.000Z' }),
    );
    expect(writes.updated).toMatchObject([
      {
        image: {
          version: 1,
          validFrom: '2026-03-01T00:00:00.000Z',
          occurredStart: '2026-03-01T00:00:00.000Z',
          occurredEnd: '2026-03-09T00:00:00.000Z',
        },
        embedding: null,
      },
    ]);
  });

  it('gives a memory named twice one link, with the newest version', () => {
    const writes = play([reinforce('a', memoryRef('m', 1)), revise('a', 'new', memoryRef('m', 2))], row('a'));
    expect(writes.links).toEqual([{ observationId: 'a', memoryId: 'm', memoryVersion: 2 }]);
  });

  it('folds what is already folded into the target along, in one step', () => {
    const writes = play(
      [{ op: 'fold', target: target('b'), into: target('c'), reason: '' }],
      row('a', { canonicalId: 'b', version: 5 }),
      row('b'),
      row('c'),
    );
    expect(writes.updated.map(({ image }) => [image.id, image.canonicalId, image.version])).toEqual([
      ['a', 'c', 6],
      ['b', 'c', 2],
    ]);
  });

  it('folds onto what the same answer creates', () => {
    const create: PlannedOp = {
      op: 'create',
      id: 'n',
      content: newText('new'),
      memories: [memoryRef('m')],
      validFrom: null,
      supersededBy: null,
      reason: '',
    };
    const writes = play([create, { op: 'fold', target: target('a'), into: own('n'), reason: '' }], row('a'));
    expect(writes.inserted.map(({ image }) => image.id)).toEqual(['n']);
    expect(writes.updated.map(({ image }) => [image.id, image.canonicalId])).toEqual([['a', 'n']]);
  });

  it('re-opens, when it retires one, what that one had superseded, to be looked at first; or hands it to who superseded the one', () => {
    const retire: PlannedOp = { op: 'retire', target: target('b'), replan: null, wasLive: true, reason: '' };
    const superseded = row('a', { supersededBy: 'b', validTo: '2026-03-01T00:00:00.000Z', version: 2 });
    const reopened = play([retire], superseded, row('b')).updated;
    expect(reopened.find(({ image }) => image.id === 'a')).toMatchObject({
      image: { supersededBy: null, validTo: null, version: 3, needsReplanAt: now.toISOString() },
      surfaced: false,
    });
    const handedOn = play([retire], superseded, row('b', { supersededBy: 'c' })).updated;
    expect(handedOn.find(({ image }) => image.id === 'a')).toMatchObject({
      image: { supersededBy: 'c', validTo: '2026-03-01T00:00:00.000Z', needsReplanAt: null },
    });
  });

  it('keeps when one was retired, if it is retired again', () => {
    const retire: PlannedOp = { op: 'retire', target: target('a'), replan: null, wasLive: false, reason: '' };
    const [updated] = play([retire], row('a', { retiredAt: '2026-01-01T00:00:00.000Z' })).updated;
    expect(updated?.image.retiredAt).toBe('2026-01-01T00:00:00.000Z');
  });

  it('keeps, of a text revised twice in one answer, the first as what was there before', () => {
    const writes = play([revise('a', 'second', memoryRef('m1')), revise('a', 'third', memoryRef('m2'))], row('a'));
    expect(writes.changeOps.map((op) => [op.before?.target?.text, op.after?.target?.text, op.baseVersion])).toEqual([
      ['text of a', 'second', 1],
      ['second', 'third', 2],
    ]);
    expect(writes.updated).toMatchObject([{ image: { text: 'third', version: 3 } }]);
  });

  it('revised and retired in one answer: the row is retired, and its text and vector agree', () => {
    const retire: PlannedOp = { op: 'retire', target: target('a'), replan: null, wasLive: true, reason: '' };
    const [updated, ...others] = play([revise('a', 'new', memoryRef('m')), retire], row('a')).updated;
    expect(others).toEqual([]);
    expect(updated).toMatchObject({ image: { text: 'new', version: 3, retiredAt: now.toISOString() } });
    expect(updated?.embedding).toEqual(newText('new').embedding);
  });

  it('refuses a row that nobody locked: that is a bug, not a miss', () => {
    expect(() => play([reinforce('a', memoryRef('m'))])).toThrow(/neither locked nor created/);
  });

  it('is the same for the same rows and ops, brings a vector with every text (L6), and never lowers a version (L22)', () => {
    const id = fc.constantFrom('a', 'b', 'c', 'd');
    const memory = fc.integer({ min: 0, max: 9 }).map((n) => memoryRef(`m${n}`));
    const op = fc.oneof(
      fc.tuple(id, memory).map(([a, m]) => reinforce(a, m)),
      fc.tuple(id, fc.constantFrom('new', 'newer'), memory).map(([a, text, m]) => revise(a, text, m)),
      fc.tuple(id, id).map(([a, b]): PlannedOp => ({ op: 'fold', target: target(a), into: target(b), reason: '' })),
      id.map((a): PlannedOp => ({ op: 'retire', target: target(a), replan: null, wasLive: true, reason: '' })),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 12 }), (ops) => {
        const rows = ['a', 'b', 'c', 'd'].map((one, index) => row(one, { version: index + 1 }));
        const writes = play(ops, ...rows);
        expect(play(ops, ...rows)).toEqual(writes);
        for (const { image, embedding } of writes.updated) {
          const before = rows.find((locked) => locked.image.id === image.id)?.image;
          expect(image.version).toBeGreaterThanOrEqual(before?.version ?? 0);
          if (image.text !== before?.text) {
            expect(embedding).toEqual(newText(image.text).embedding);
            expect(image.version).toBeGreaterThan(before?.version ?? 0);
          }
        }
        expect(writes.changeOps).toHaveLength(ops.length);
        expect(writes.events).toHaveLength(ops.length);
      }),
    );
  });
});
