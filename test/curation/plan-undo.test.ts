import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { carryOut, type Writes } from '../../src/consolidation/carry-out.ts';
import { linkKey, sameContent } from '../../src/consolidation/observation-rows.ts';
import {
  groupOps,
  type MemoryRef,
  type NewText,
  type PlannedOp,
  type TargetRef,
} from '../../src/consolidation/plan.ts';
import { planUndo, type UndoGround, type UndoWrites } from '../../src/curation/plan-undo.ts';
import type { LockedObservation } from '../../src/store/apply-locks.ts';
import type { ConflictImage, LinkImage, ObservationImage } from '../../src/store/change-ops.ts';
import type { ReviewedOp } from '../../src/store/change-review.ts';
import { encodeRealBytes } from '../../src/store/vectors/vector-bytes.ts';

const now = new Date('2026-05-01T00:00:00Z');
const model = 'model';

/** What a store holds, as values. */
interface Store {
  readonly rows: ReadonlyMap<string, LockedObservation>;
  readonly links: ReadonlyMap<string, LinkImage>;
  readonly conflicts: ReadonlyMap<string, ConflictImage>;
}

function vectorOf(text: string): Float32Array {
  return new Float32Array([text.length, text.charCodeAt(0), -0]);
}

function row(image: ObservationImage): LockedObservation {
  const isLive = [image.supersededBy, image.canonicalId, image.retiredAt].every((mark) => mark === null);
  return { image, tags: [], isLive, embedding: encodeRealBytes(vectorOf(image.text)), embeddingModel: model };
}

const ids = ['a', 'b', 'c', 'd'];
const empty: Store = {
  rows: new Map(
    ids.map((id) => {
      const none = { validFrom: null, validTo: null, occurredStart: null, occurredEnd: null };
      const marks = { supersededBy: null, canonicalId: null, retiredAt: null, needsReplanAt: null };
      return [id, row({ id, text: `text of ${id}`, version: 1, ...none, ...marks })];
    }),
  ),
  links: new Map(ids.map((id) => [`${id}/m0`, { observationId: id, memoryId: 'm0', memoryVersion: 1 }])),
  conflicts: new Map(),
};

/** One change set: the ops as history keeps them, and the store after it. */
function apply(store: Store, ops: readonly PlannedOp[], set: number): { after: Store; history: ReviewedOp[] } {
  const conflicts: string[] = [];
  const writes = carryOut({
    groups: groupOps(ops),
    locked: store.rows,
    links: [...store.links.values()],
    changeSetId: `set${set}`,
    embeddingModel: model,
    now,
    newId: () => {
      conflicts.push('c');
      return `conflict${set}-${conflicts.length}`;
    },
  });
  return { after: written(store, writes), history: writes.changeOps.map((op, index) => recorded(op, index, set)) };
}

function recorded(op: Writes['changeOps'][number], index: number, set: number): ReviewedOp {
  const { afterVector, ...rest } = op;
  const text = op.after?.created?.text ?? op.after?.target?.text ?? '';
  const bytes = afterVector === 'in-row' ? encodeRealBytes(vectorOf(text)) : (afterVector?.bytes ?? null);
  return {
    ...rest,
    ...{ changeSetId: `set${set}`, setKind: 'consolidation', seq: index + 1, status: 'applied' },
    ...{ appliedNo: set * 1000 + index, at: now, isErased: false },
    afterEmbedding: bytes,
    afterEmbeddingModel: bytes && model,
  };
}

function written(store: Store, writes: Writes): Store {
  const rows = new Map(store.rows);
  for (const { image } of [...writes.inserted, ...writes.updated]) rows.set(image.id, row(image));
  const links = new Map(store.links);
  for (const link of writes.droppedLinks) links.delete(linkKey(link));
  for (const link of writes.links) links.set(linkKey(link), link);
  const conflicts = new Map([...store.conflicts, ...writes.conflicts.map((one) => [one.id, one] as const)]);
  return { rows, links, conflicts };
}

function undone(store: Store, writes: UndoWrites): Store {
  const rows = new Map(store.rows);
  for (const { image, embedding } of writes.updated) {
    const found = store.rows.get(image.id);
    if (found?.image.text !== image.text) expect(embedding).toEqual(vectorOf(image.text));
    else expect(embedding).toBeNull();
    expect(image.version).toBeGreaterThan(found?.image.version ?? 0);
    rows.set(image.id, row(image));
  }
  const links = new Map(store.links);
  for (const link of writes.droppedLinks) links.delete(linkKey(link));
  for (const link of writes.links) links.set(linkKey(link), link);
  const conflicts = new Map(store.conflicts);
  for (const id of writes.droppedConflictIds) conflicts.delete(id);
  for (const conflict of writes.conflicts) conflicts.set(conflict.id, conflict);
  return { rows, links, conflicts };
}

function ground(store: Store, more: Partial<UndoGround> = {}): UndoGround {
  const memories = Array.from({ length: 10 }, (_, n) => `m${n}`).map(
    (id) => [id, { id, version: 1, state: 'consolidated' as const, reason: null, isValid: true }] as const,
  );
  return {
    rows: store.rows,
    links: [...store.links.values()],
    conflicts: [...store.conflicts.values()],
    memories: new Map(memories),
    later: [],
    model,
    vectors: new Map(),
    now,
    ...more,
  };
}

const text = (value: string): NewText => ({ text: value, embedding: vectorOf(value) });
const memory = fc.integer({ min: 1, max: 9 }).map((n): MemoryRef => {
  const day = new Date(Date.UTC(2026, 0, n));
  return { id: `m${n}`, version: 1, occurredStart: day, occurredEnd: null, heldAt: day };
});
const target = fc.constantFrom(...ids).map((id): TargetRef => ({ id, seen: { text: `text of ${id}`, version: 1 } }));
const pair = fc.shuffledSubarray(ids, { minLength: 2, maxLength: 2 });
const made: string[] = [];
const fresh = () => {
  made.push('n');
  return `n${made.length}`;
};
const op: fc.Arbitrary<PlannedOp> = fc.oneof(
  memory.map((m): PlannedOp => {
    const id = fresh();
    const at = { validFrom: m.heldAt, supersededBy: null, reason: '' };
    return { op: 'create', id, content: text(`made ${id}`), memories: [m], ...at };
  }),
  fc
    .tuple(target, memory)
    .map(([t, m]): PlannedOp => ({ op: 'reinforce', target: t, memories: [m], replan: null, reason: '' })),
  fc.tuple(target, memory, fc.constantFrom('new', 'newer')).map(
    ([t, m, s]): PlannedOp => ({
      op: 'revise',
      target: t,
      content: text(s),
      memories: [m],
      replan: null,
      reason: '',
    }),
  ),
  fc
    .tuple(target, memory, fc.constantFrom('supersede' as const, 'conflict' as const))
    .map(([t, m, kind]): PlannedOp => {
      const id = fresh();
      return { op: kind, target: t, id, content: text(`made ${id}`), memories: [m], validFrom: m.heldAt, reason: '' };
    }),
  pair.map(
    ([a = '', b = '']): PlannedOp => ({
      op: 'fold',
      target: { id: a, seen: { text: `text of ${a}`, version: 1 } },
      into: { id: b, seen: { text: `text of ${b}`, version: 1 } },
      reason: '',
    }),
  ),
  target.map((t): PlannedOp => ({ op: 'retire', target: t, replan: null, wasLive: true, reason: '' })),
);
const sets = fc.array(fc.array(op, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 4 });

const content = (store: Store) => ({
  rows: [...store.rows.values()]
    .filter(({ image }) => ids.includes(image.id))
    .map(({ image }) => ({ ...image, version: 0 })),
  links: [...store.links.values()]
    .filter((link) => ids.includes(link.observationId))
    .map(linkKey)
    .sort(),
  conflicts: [...store.conflicts.keys()],
});

describe('planning an undo', () => {
  it('of everything that was done brings back everything, with vectors of their texts and versions that grow', () => {
    fc.assert(
      fc.property(sets, (all) => {
        let store = empty;
        const history: ReviewedOp[] = [];
        all.forEach((ops, index) => {
          const done = apply(store, ops, index + 1);
          store = done.after;
          history.push(...done.history);
        });
        const plan = planUndo(history, ground(store));
        expect(plan.kind).toBe('writes');
        if (plan.kind !== 'writes') return;
        const back = undone(store, plan.writes);
        expect(content(back)).toEqual(content(empty));
        for (const { image } of back.rows.values()) {
          if (ids.includes(image.id)) continue;
          expect(image.retiredAt).not.toBeNull();
          expect([...back.links.values()].some((link) => link.observationId === image.id)).toBe(false);
        }
        expect(plan.writes.memories.every((move) => move.state === 'held')).toBe(true);
        expect(plan.writes.ops).toHaveLength(history.length);
      }),
    );
  });

  it('of one change set under others is exact or refused: never something in between', () => {
    fc.assert(
      fc.property(sets, fc.nat(), (all, pick) => {
        let store = empty;
        const before: Store[] = [];
        const histories = all.map((ops, index) => {
          before.push(store);
          const done = apply(store, ops, index + 1);
          store = done.after;
          return done.history;
        });
        const at = pick % all.length;
        const plan = planUndo(histories[at] ?? [], ground(store));
        expect(['writes', 'refused']).toContain(plan.kind);
        if (plan.kind !== 'writes') return;
        const back = undone(store, plan.writes);
        for (const [id, was] of before[at]?.rows ?? []) {
          const is = back.rows.get(id)?.image;
          const untouched = store.rows.get(id)?.image;
          expect(is && (sameContent(is, was.image) || is === untouched)).toBe(true);
        }
      }),
    );
  });

  it('asks for vectors of texts whose own are of another model, and writes those', () => {
    const { after, history } = apply(
      empty,
      [
        {
          op: 'revise',
          target: { id: 'a', seen: { text: 'text of a', version: 1 } },
          content: text('new'),
          ...{ memories: [], replan: null, reason: '' },
        },
      ],
      1,
    );
    expect(planUndo(history, ground(after, { model: 'another' }))).toEqual({ kind: 'embed', texts: ['text of a'] });
    const vector = new Float32Array([7]);
    const plan = planUndo(history, ground(after, { model: 'another', vectors: new Map([['text of a', vector]]) }));
    expect(plan).toMatchObject({ kind: 'writes', writes: { updated: [{ embedding: vector, surfaced: true }] } });
  });

  it.each<[string, (store: Store, history: readonly ReviewedOp[]) => Partial<UndoGround>]>([
    [
      'another vector',
      (store) => ({
        rows: new Map(
          [...store.rows].map(([id, one]) => [id, { ...one, embedding: encodeRealBytes(new Float32Array([1])) }]),
        ),
      }),
    ],
    [
      'another link',
      (store) => ({ links: [...store.links.values(), { observationId: 'n', memoryId: 'm9', memoryVersion: 1 }] }),
    ],
    [
      'a link in another version',
      (store) => ({ links: [...store.links.values()].map((link) => ({ ...link, memoryVersion: 2 })) }),
    ],
    ['a missing row', () => ({ rows: new Map() })],
    [
      'an open conflict',
      () => ({
        conflicts: [
          {
            id: 'x',
            left: 'a',
            right: 'n',
            status: 'open',
            reason: '',
            resolution: null,
            createdAt: null,
            resolvedAt: null,
            changeSetId: null,
          },
        ],
      }),
    ],
    [
      'something that points at it',
      (store) => ({
        rows: new Map([
          ...store.rows,
          ['b', row({ ...(store.rows.get('b')?.image as ObservationImage), canonicalId: 'n' })],
        ]),
      }),
    ],
    [
      'a later op',
      () => ({
        later: [
          {
            changeSetId: 's',
            seq: 1,
            op: 'revise',
            appliedNo: 9999,
            at: now,
            observationIds: ['a'],
            settledIds: [],
            text: 'x',
          },
        ],
      }),
    ],
  ])('refuses %s', (_, change) => {
    const { after, history } = apply(
      empty,
      [
        {
          op: 'revise',
          target: { id: 'a', seen: { text: 'text of a', version: 1 } },
          content: text('new'),
          memories: [],
          replan: null,
          reason: '',
        },
        {
          op: 'create',
          id: 'n',
          content: text('made'),
          memories: [{ id: 'm1', version: 1, occurredStart: null, occurredEnd: null, heldAt: null }],
          validFrom: null,
          supersededBy: null,
          reason: '',
        },
      ],
      1,
    );
    expect(planUndo(history, ground(after)).kind).toBe('writes');
    expect(planUndo(history, ground(after, change(after, history))).kind).toBe('refused');
  });
});
