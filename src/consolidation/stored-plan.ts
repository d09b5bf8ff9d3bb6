import { z } from 'zod';
import type { NewText, PlannedOp, ReplanLinks } from './plan.ts';
import { textOf } from './plan.ts';

/** What a proposed op needs beside its vector so that it can be applied later as it was decided. */
export interface StoredPlan {
  /** The scope of everything in it (law L7). */
  readonly tags: readonly string[];
  /** Read before the scope was searched for what the text may repeat. */
  readonly scopeEpoch: number;
  readonly decidedBy: string;
  readonly op: PlannedOp;
}

const time = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text))
  .nullable();
const target = z.strictObject({
  id: z.string(),
  seen: z.strictObject({ text: z.string(), version: z.number() }).nullable(),
});
const memories = z.array(
  z.strictObject({
    id: z.string(),
    version: z.number(),
    occurredStart: time,
    occurredEnd: time,
    heldAt: time,
  }),
);
const link = z.strictObject({ observationId: z.string(), memoryId: z.string(), memoryVersion: z.number() });
const replan = z.strictObject({ seen: z.array(link), dropped: z.array(link) }).nullable();
const [id, text, reason] = [z.string(), z.string(), z.string()];

const opSchema = z.discriminatedUnion('op', [
  z.strictObject({
    op: z.literal('create'),
    id,
    text,
    memories,
    validFrom: time,
    supersededBy: target.nullable(),
    reason,
  }),
  z.strictObject({ op: z.literal('reinforce'), target, memories, replan, reason }),
  z.strictObject({ op: z.literal('revise'), target, text, memories, replan, reason }),
  z.strictObject({ op: z.enum(['supersede', 'conflict']), target, id, text, memories, validFrom: time, reason }),
  z.strictObject({ op: z.literal('fold'), target, into: target, reason }),
  z.strictObject({ op: z.literal('retire'), target, replan, wasLive: z.boolean(), reason }),
  z.strictObject({ op: z.literal('skip'), memories, reason }),
]);

const planSchema = z.strictObject({
  // Another form of it gets another number, and this one stays readable: proposals may wait for weeks.
  form: z.literal(1),
  tags: z.array(z.string()),
  scopeEpoch: z.number(),
  decidedBy: z.string(),
  op: opSchema,
});

/** As JSON; the vector is kept beside it, since JSON would round it. */
export function encodePlan(plan: StoredPlan): z.input<typeof planSchema> {
  const { op, ...rest } = plan;
  const content = textOf(op);
  const { content: _, ...fields } = { content: null, ...op };
  const encoded = JSON.parse(JSON.stringify(content === null ? fields : { ...fields, text: content.text }));
  return { form: 1, ...rest, tags: [...rest.tags], op: encoded };
}

/**
 * The plan again.
 *
 * @param embedding of the op's text; null where it writes none.
 * @throws ZodError, Error for what no version of this encoded
 */
export function decodePlan(stored: unknown, embedding: Float32Array | null): StoredPlan {
  const { form: _, op, ...rest } = planSchema.parse(stored);
  return { ...rest, op: withContent(op, embedding) };
}

function withContent(op: z.output<typeof opSchema>, embedding: Float32Array | null): PlannedOp {
  switch (op.op) {
    case 'create':
    case 'revise':
    case 'supersede':
    case 'conflict': {
      if (embedding === null) throw new Error(`the ${op.op} of a proposal is stored without the vector of its text`);
      const { text: written, ...fields } = op;
      const content: NewText = { text: written, embedding };
      return { ...fields, content };
    }
    case 'reinforce':
    case 'fold':
    case 'retire':
    case 'skip':
      return op;
    default:
      return op satisfies never;
  }
}

/** The text whose vector {@link decodePlan} wants; null: none. */
export function textOfPlan(stored: unknown): string | null {
  const { op } = planSchema.parse(stored);
  return 'text' in op ? op.text : null;
}

/** What a proposal of a replan had seen of its target's evidence; null: it is none. */
export function replanOfPlan(stored: unknown): { readonly targetId: string; readonly replan: ReplanLinks } | null {
  const { op } = planSchema.parse(stored);
  return 'replan' in op && op.replan !== null ? { targetId: op.target.id, replan: op.replan } : null;
}
