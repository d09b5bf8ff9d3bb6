import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type MemoryRef,
  type PlannedOp,
  type ReplanLinks,
  type TargetRef,
  textOf,
} from '../../src/consolidation/plan.ts';
import { decodePlan, encodePlan, replanOfPlan, textOfPlan } from '../../src/consolidation/stored-plan.ts';
import { decodeRealArray, encodeRealBytes } from '../../src/store/vectors/vector-bytes.ts';

const id = fc.uuid();
const text = fc.string({ unit: 'grapheme', minLength: 1 });
const reason = fc.string({ unit: 'grapheme' });
const time = fc.option(
  fc.date({ min: new Date('0001-01-02T00:00:00Z'), max: new Date('9999-12-30T00:00:00Z'), noInvalidDate: true }),
);
const version = fc.integer({ min: 1, max: 2 ** 31 });
const embedding = fc.float32Array({ minLength: 1, maxLength: 8 });
const content = fc.record({ text, embedding });
const memory: fc.Arbitrary<MemoryRef> = fc.record({
  id,
  version,
  occurredStart: time,
  occurredEnd: time,
  heldAt: time,
});
const memories = fc.array(memory, { maxLength: 3 });
const target: fc.Arbitrary<TargetRef> = fc.record({ id, seen: fc.option(fc.record({ text, version })) });
const link = fc.record({ observationId: id, memoryId: id, memoryVersion: version });
const links = fc.array(link, { maxLength: 3 });
const replan: fc.Arbitrary<ReplanLinks | null> = fc.option(fc.record({ seen: links, dropped: links }));

const op: fc.Arbitrary<PlannedOp> = fc.oneof(
  fc.record({
    op: fc.constant('create' as const),
    id,
    content,
    memories,
    validFrom: time,
    supersededBy: fc.option(target),
    reason,
  }),
  fc.record({ op: fc.constant('reinforce' as const), target, memories, replan, reason }),
  fc.record({ op: fc.constant('revise' as const), target, content, memories, replan, reason }),
  fc.record({
    op: fc.constantFrom('supersede' as const, 'conflict' as const),
    ...{ target, id, content, memories, validFrom: time, reason },
  }),
  fc.record({ op: fc.constant('fold' as const), target, into: target, reason }),
  fc.record({ op: fc.constant('retire' as const), target, replan, wasLive: fc.boolean(), reason }),
  fc.record({ op: fc.constant('skip' as const), memories, reason }),
);

it('a stored plan is, with the bytes of its vector, the plan again', () => {
  const plan = fc.record({ tags: fc.array(text, { maxLength: 3 }), scopeEpoch: version, decidedBy: text, op });
  fc.assert(
    fc.property(plan, (one) => {
      const stored: unknown = JSON.parse(JSON.stringify(encodePlan(one)));
      const written = textOf(one.op);
      const vector = written === null ? null : decodeRealArray(encodeRealBytes(written.embedding));
      expect(decodePlan(stored, vector)).toEqual(one);
      expect(textOfPlan(stored)).toBe(written?.text ?? null);
      const seen = 'replan' in one.op ? one.op.replan : null;
      expect(replanOfPlan(stored)?.replan ?? null).toEqual(seen);
    }),
  );
});

it('a plan without the vector of its text, or of another form, is refused', () => {
  const create: PlannedOp = {
    op: 'create',
    id: 'n',
    content: { text: 'a text', embedding: new Float32Array([1]) },
    memories: [],
    validFrom: null,
    supersededBy: null,
    reason: '',
  };
  const stored = encodePlan({ tags: [], scopeEpoch: 1, decidedBy: 'x', op: create });
  expect(() => decodePlan(stored, null)).toThrow(/without the vector/);
  expect(() => decodePlan({ ...stored, form: 2 }, new Float32Array([1]))).toThrow();
});
