import { z } from 'zod';
import { type DifferenceKind, differenceKinds, diffOfSnapshots } from '../../backup/snapshots/snapshot-diff.ts';
import { SnapshotBankGoneError, SnapshotNotFoundError } from '../../backup/snapshots/snapshot-errors.ts';
import { takeSnapshot } from '../../backup/snapshots/snapshots.ts';
import { findBank } from '../../store/banks.ts';
import { listSnapshots, type Snapshot, type SnapshotRow } from '../../store/snapshots.ts';
import { ApiError, bankNotFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { decodeDiffPlace, encodeDiffPlace, limitSchema } from '../cursor.ts';
import { type Route, route } from '../route.ts';
import { bankParams, id } from '../schemas.ts';

const count = z.int().min(0);
const countsByName = z.record(z.string(), count);

export const snapshotSchema = z
  .strictObject({
    id,
    made_at: z.iso.datetime(),
    trigger: z.enum(['changes', 'time', 'asked']),
    applied_no: count.meta({ description: 'The last applied change in it; 0 where there was none.' }),
    memories: countsByName.meta({ description: 'By state.' }),
    observations: countsByName.meta({ description: 'By state.' }),
    pinned: count,
  })
  .meta({ id: 'Snapshot' });

export const snapshotListSchema = z.strictObject({ snapshots: z.array(snapshotSchema) });

export const takenSnapshotSchema = z.strictObject({
  snapshot: snapshotSchema,
  pruned: z.array(id).meta({ description: 'Older ones that made room.' }),
});

const sideSchema = z
  .strictObject({
    version: z.int(),
    state: z.string(),
    pin: z.enum(['manual', 'auto']).nullable(),
    text: z.string().nullable().meta({
      description: 'What it said then; null where that was not kept: an edited memory, or what was forgotten.',
    }),
  })
  .nullable();

const kindCounts = z.partialRecord(z.enum(differenceKinds), count);

export const snapshotDiffSchema = z
  .strictObject({
    before: snapshotSchema,
    after: snapshotSchema.nullable().meta({ description: 'Null: the bank as it stands.' }),
    memories: kindCounts.meta({ description: 'How many, over all pages.' }),
    observations: kindCounts.meta({ description: 'How many, over all pages.' }),
    differences: z.array(
      z.strictObject({
        type: z.enum(['memory', 'observation']),
        id,
        kinds: z.array(z.enum(differenceKinds)),
        before: sideSchema,
        after: sideSchema,
      }),
    ),
    next_cursor: z.string().nullable(),
  })
  .meta({ id: 'SnapshotDiff' });

const nameSchema = z.string().min(1).max(36);

/** The state of a bank at a change, written down; and what became of it since. */
export function snapshotRoutes(deps: AppDeps): Route[] {
  const { db, settings } = deps;

  return [
    route({
      method: 'GET',
      path: '/v1/banks/{bank}/snapshots',
      operationId: 'listSnapshots',
      summary: 'Snapshots of a bank, newest first.',
      params: bankParams,
      response: snapshotListSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params }) {
        const snapshots = await listSnapshots(db, params.bank);
        if (snapshots.length === 0 && !(await findBank(db, params.bank))) throw bankNotFound(params.bank);
        return { status: 200, body: { snapshots: snapshots.map(presentSnapshot) } };
      },
    }),

    route({
      method: 'POST',
      path: '/v1/banks/{bank}/snapshots',
      operationId: 'takeSnapshot',
      summary: 'Takes a snapshot of a bank now; the oldest ones make room.',
      params: bankParams,
      response: takenSnapshotSchema,
      successStatus: 201,
      isWork: true,
      async handle({ params }) {
        try {
          const taken = await takeSnapshot(
            { ...deps, keep: settings.snapshotKeep },
            { bankId: params.bank, trigger: 'asked' },
          );
          return { status: 201, body: { snapshot: presentSnapshot(taken.snapshot), pruned: [...taken.pruned] } };
        } catch (thrown) {
          if (thrown instanceof SnapshotBankGoneError) throw bankNotFound(params.bank);
          throw thrown;
        }
      },
    }),

    route({
      method: 'GET',
      path: '/v1/banks/{bank}/snapshots/diff',
      operationId: 'diffSnapshots',
      summary: 'What differs between two snapshots of a bank, or between one and now.',
      params: bankParams,
      query: z.strictObject({
        before: nameSchema
          .default('latest')
          .meta({ description: 'Id, or the first 8 letters of one, `latest`, or `latest~1` for the one before.' }),
        after: nameSchema.default('now').meta({ description: 'The same, or `now`.' }),
        limit: limitSchema(100, 500),
        cursor: z
          .string()
          .max(200)
          .refine((text) => decodeDiffPlace(text) !== undefined, 'is not a cursor of this service')
          .optional()
          .meta({ description: '`next_cursor` of the page before.' }),
      }),
      response: snapshotDiffSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, query }) {
        const { before, after, limit } = query;
        const place = query.cursor === undefined ? null : (decodeDiffPlace(query.cursor) ?? null);
        try {
          const diff = await diffOfSnapshots(db, params.bank, { before, after, place, limit });
          return {
            status: 200,
            body: {
              before: presentSnapshot(diff.before),
              after: diff.after && presentSnapshot(diff.after),
              memories: { ...diff.counts.memories },
              observations: { ...diff.counts.observations },
              differences: diff.differences.map((row) => ({
                type: row.target === 'memories' ? ('memory' as const) : ('observation' as const),
                id: row.id,
                kinds: [...row.kinds] satisfies DifferenceKind[],
                before: presentSide(row.before, row.beforeText),
                after: presentSide(row.after, row.afterText),
              })),
              next_cursor: diff.next && encodeDiffPlace(diff.next),
            },
          };
        } catch (thrown) {
          if (!(thrown instanceof SnapshotNotFoundError)) throw thrown;
          if (!(await findBank(db, params.bank))) throw bankNotFound(params.bank);
          throw new ApiError(404, thrown.code, thrown.message);
        }
      },
    }),
  ];
}

function presentSnapshot({ id: snapshotId, madeAt, trigger, appliedNo, counts }: Snapshot) {
  return {
    id: snapshotId,
    made_at: madeAt.toISOString(),
    trigger,
    applied_no: appliedNo,
    memories: { ...counts.memories },
    observations: { ...counts.observations },
    pinned: counts.pinned,
  };
}

function presentSide(row: SnapshotRow | null, text: string | null): z.output<typeof sideSchema> {
  return row && { ...row, text };
}
