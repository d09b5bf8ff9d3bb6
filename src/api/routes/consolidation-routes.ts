import { z } from 'zod';
import { findBank } from '../../store/banks.ts';
import {
  excerptsOf,
  findChangeSet,
  listChangeSets,
  listConflicts,
  listRuns,
  opsOfChangeSet,
} from '../../store/change-history.ts';
import { bankNotFound, notFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { cursorSchema, encodeCursor, limitSchema, pageEnd } from '../cursor.ts';
import { presentChangeSet, presentConflict, presentOp, presentRun } from '../present.ts';
import { type Route, route } from '../route.ts';
import {
  bankItemParams,
  bankParams,
  changeSetSchema,
  changeSetStatuses,
  conflictSchema,
  dryRunSchema,
  id,
  opSchema,
  pageSchema,
  runSchema,
} from '../schemas.ts';

export const requestedSchema = z
  .strictObject({
    job_id: z.string().nullable().meta({
      description: 'Null where the bank is being worked on already; what is left of it is due at once then.',
    }),
    again: z.int().min(0).meta({ description: 'Memories that will be decided again.' }),
    held: z.int().min(0).meta({ description: 'Held memories that will be decided after all.' }),
  })
  .meta({ id: 'RequestedConsolidation' });

export function consolidationRoutes(deps: AppDeps): Route[] {
  const { db, engine, queue, curation } = deps;

  async function requireBank(bankId: string): Promise<void> {
    if (!(await findBank(db, bankId))) throw bankNotFound(bankId);
  }

  return [
    route({
      method: 'POST',
      path: '/v1/banks/{bank}/consolidations',
      operationId: 'consolidate',
      summary: 'Makes the bank due at once (202), or with `dry_run` tells what would be done (200).',
      params: bankParams,
      body: z
        .strictObject({
          dry_run: z.boolean().optional(),
          again: z.boolean().optional().meta({
            description: 'Decides once more what another decider, prompt or model has decided.',
          }),
          held: z.boolean().optional().meta({
            description: 'Decides after all what an undo or a rejection has put aside.',
          }),
          limit: z
            .int('must be a whole number from 1 to 200')
            .min(1, 'must be a whole number from 1 to 200')
            .max(200, 'must be a whole number from 1 to 200')
            .optional()
            .meta({ description: 'Most memories of a dry run; default 50.' }),
        })
        .refine((body) => body.dry_run !== true || (body.again !== true && body.held !== true), {
          path: ['dry_run'],
          message: 'writes nothing, so that nothing can become due again for it',
        })
        .meta({ id: 'ConsolidationRequest' }),
      response: z.union([requestedSchema, dryRunSchema]),
      successStatus: 202,
      isWork: true,
      async handle({ params, body, signal }) {
        await requireBank(params.bank);
        if (body.dry_run !== true) {
          const again = body.again === true ? await curation.consolidateAgain(params.bank) : 0;
          const held = body.held === true ? await curation.releaseHeld(params.bank) : 0;
          const { jobId } = await queue.requestConsolidation(params.bank);
          return { status: 202, body: { job_id: jobId, again, held } };
        }
        const limit = body.limit === undefined ? {} : { limit: body.limit };
        const report = await engine.dryRun(params.bank, { signal, ...limit });
        return {
          status: 200,
          body: {
            memories: report.memories,
            ops: report.ops.map((op) => ({ ...op, sources: [...op.sources] })),
            rejected: [...report.rejected],
            undecided: report.undecided.map(({ memories, reason }) => ({ memories: [...memories], reason })),
            calls: report.calls,
            cost_usd: report.costUsd,
          },
        };
      },
    }),

    route({
      method: 'GET',
      path: '/v1/banks/{bank}/consolidations',
      operationId: 'listConsolidations',
      summary: 'Runs, newest first.',
      params: bankParams,
      query: z.strictObject({ limit: limitSchema(20, 200), cursor: cursorSchema }),
      response: pageSchema({ runs: z.array(runSchema) }),
      successStatus: 200,
      isWork: true,
      async handle({ params, query }) {
        const { runs, end } = await listRuns(db, params.bank, { after: pageEnd(query.cursor), limit: query.limit });
        if (runs.length === 0) await requireBank(params.bank);
        return { status: 200, body: { runs: runs.map(presentRun), next_cursor: encodeCursor(end) } };
      },
    }),

    route({
      method: 'GET',
      path: '/v1/banks/{bank}/changes',
      operationId: 'listChanges',
      summary: 'Change sets, newest first; `status=proposed` are those that wait for a person.',
      params: bankParams,
      query: z.strictObject({
        status: z.enum(changeSetStatuses).optional(),
        run: id.optional().meta({ description: 'Only those of this run.' }),
        limit: limitSchema(20, 200),
        cursor: cursorSchema,
      }),
      response: pageSchema({ changes: z.array(changeSetSchema) }),
      successStatus: 200,
      isWork: true,
      async handle({ params, query }) {
        const { sets, end } = await listChangeSets(db, params.bank, {
          status: query.status ?? null,
          runId: query.run ?? null,
          after: pageEnd(query.cursor),
          limit: query.limit,
        });
        if (sets.length === 0) await requireBank(params.bank);
        return { status: 200, body: { changes: sets.map(presentChangeSet), next_cursor: encodeCursor(end) } };
      },
    }),

    route({
      method: 'GET',
      path: '/v1/banks/{bank}/changes/{id}',
      operationId: 'getChange',
      summary: 'A change set: each op with what was there before and after, its sources, reasons and verdicts.',
      params: bankItemParams,
      response: z.strictObject({ ...changeSetSchema.shape, steps: z.array(opSchema) }).meta({ id: 'ChangeSetInFull' }),
      successStatus: 200,
      isWork: true,
      async handle({ params }) {
        const set = await findChangeSet(db, params.bank, params.id);
        if (!set) throw notFound('change set', params.id);
        const ops = await opsOfChangeSet(db, params.bank, params.id);
        const memoryIds = new Set(ops.flatMap((op) => [...op.memoryIds, ...op.sourceIds]));
        const excerpts = new Map((await excerptsOf(db, params.bank, [...memoryIds])).map((row) => [row.id, row]));
        return { status: 200, body: { ...presentChangeSet(set), steps: ops.map((op) => presentOp(op, excerpts)) } };
      },
    }),

    route({
      method: 'GET',
      path: '/v1/banks/{bank}/conflicts',
      operationId: 'listConflicts',
      summary: 'Pairs of observations that cannot both hold, newest first.',
      params: bankParams,
      query: z.strictObject({
        status: z.enum(['open', 'resolved', 'all']).default('open'),
        limit: limitSchema(50, 500),
      }),
      response: z.strictObject({ conflicts: z.array(conflictSchema) }).meta({ id: 'Conflicts' }),
      successStatus: 200,
      isWork: true,
      async handle({ params, query }) {
        const conflicts = await listConflicts(db, params.bank, {
          status: query.status === 'all' ? null : query.status,
          observationId: null,
          limit: query.limit,
        });
        if (conflicts.length === 0) await requireBank(params.bank);
        return { status: 200, body: { conflicts: conflicts.map(presentConflict) } };
      },
    }),
  ];
}
