import { z } from 'zod';
import type { AppDeps } from '../app-deps.ts';
import { type Route, route } from '../route.ts';
import { bankItemParams, changeSetStatuses, id } from '../schemas.ts';

const decisionSchema = z
  .strictObject({
    op: z
      .int('must be the number of an op')
      .min(1, 'must be the number of an op')
      .optional()
      .meta({ description: 'Of a change set: only this op and the ops of its group.' }),
  })
  .meta({ id: 'ChangeDecision' });

const numbers = z.array(z.int());

const approvedSchema = z
  .strictObject({
    changes: z.array(
      z.strictObject({
        id,
        status: z.enum(changeSetStatuses),
        applied: numbers.meta({ description: 'Ops that happened.' }),
        conflicted: z
          .array(z.strictObject({ ops: numbers, reason: z.enum(['memory_changed', 'target_changed', 'scope_moved']) }))
          .meta({ description: 'Groups that no longer fit what is there; their memories are decided again.' }),
      }),
    ),
    pending_again: z.array(id).meta({ description: 'Memories that are due again.' }),
  })
  .meta({ id: 'ApprovedChanges' });

const rejectedSchema = z
  .strictObject({
    changes: z.array(z.strictObject({ id, status: z.enum(changeSetStatuses), rejected: numbers })),
    held: z.array(id).meta({ description: 'Memories put aside; a consolidation with `held` brings them back.' }),
    kept: z.array(id).meta({ description: 'Observations that stay although evidence of theirs changed or went.' }),
  })
  .meta({ id: 'RejectedChanges' });

const undoneSchema = z
  .strictObject({
    run_id: id.meta({ description: 'Undo this run to have everything back as it was.' }),
    changes: z.array(z.strictObject({ id, undoes: id, ops: z.int() })),
    held: z.array(id).meta({ description: 'Memories put aside; a consolidation with `held` brings them back.' }),
    consolidated: z.array(id).meta({ description: 'Where an undo was undone: memories that are no longer put aside.' }),
  })
  .meta({ id: 'UndoneChanges' });

const resolvedSchema = z
  .strictObject({
    conflict_id: id,
    resolution: z.enum(['left', 'right', 'both']),
    change_set_id: id.meta({ description: 'Undo it to open the conflict again.' }),
    outcome: z
      .strictObject({ observation_id: id, fate: z.enum(['superseded', 'retired']) })
      .nullable()
      .meta({ description: 'What became of the side that was not kept.' }),
  })
  .meta({ id: 'ResolvedConflict' });

/** What a person decides on changes and conflicts. 409 where it cannot be done any more; its details say what stands in the way. */
export function reviewRoutes({ curation }: AppDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/banks/{bank}/changes/{id}/approve',
      operationId: 'approveChanges',
      summary: 'Lets happen what waits: a change set, all of a run, or of a set one op with its group.',
      params: bankItemParams,
      body: decisionSchema,
      response: approvedSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, body, signal }) {
        const report = await curation.approve({ bankId: params.bank, id: params.id, op: body.op, signal });
        const changes = report.changeSets.map((set) => ({
          id: set.id,
          status: set.status,
          applied: [...set.applied],
          conflicted: set.conflicted.map(({ ops, reason }) => ({ ops: [...ops], reason })),
        }));
        return { status: 200, body: { changes, pending_again: [...report.pendingAgain] } };
      },
    }),

    route({
      method: 'POST',
      path: '/v1/banks/{bank}/changes/{id}/reject',
      operationId: 'rejectChanges',
      summary: 'Puts away what waits: a change set, all of a run, or of a set one op with its group.',
      params: bankItemParams,
      body: decisionSchema,
      response: rejectedSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, body }) {
        const report = await curation.reject({ bankId: params.bank, id: params.id, op: body.op });
        const changes = report.changeSets.map(({ rejected, ...set }) => ({ ...set, rejected: [...rejected] }));
        return { status: 200, body: { changes, held: [...report.held], kept: [...report.kept] } };
      },
    }),

    route({
      method: 'POST',
      path: '/v1/banks/{bank}/changes/{id}/undo',
      operationId: 'undoChanges',
      summary: 'Takes back a change set, a run, or of a set one op with its group: exactly, all of it or nothing.',
      params: bankItemParams,
      body: decisionSchema,
      response: undoneSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, body, signal }) {
        const report = await curation.undo({ bankId: params.bank, id: params.id, op: body.op, signal });
        const changes = report.changeSets.map((set) => ({ ...set }));
        const { runId, held, consolidated } = report;
        return { status: 200, body: { run_id: runId, changes, held: [...held], consolidated: [...consolidated] } };
      },
    }),

    route({
      method: 'POST',
      path: '/v1/banks/{bank}/conflicts/{id}/resolve',
      operationId: 'resolveConflict',
      summary: 'Closes a conflict. The side not kept is superseded where it held earlier, else retired.',
      params: bankItemParams,
      body: z
        .strictObject({ keep: z.enum(['left', 'right', 'both'], { error: 'expected `left`, `right` or `both`' }) })
        .meta({ id: 'ConflictResolution' }),
      response: resolvedSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, body }) {
        const report = await curation.resolveConflict({
          bankId: params.bank,
          conflictId: params.id,
          keep: body.keep,
        });
        const { conflictId, resolution, changeSetId, outcome } = report;
        return {
          status: 200,
          body: {
            conflict_id: conflictId,
            resolution,
            change_set_id: changeSetId,
            outcome: outcome && { observation_id: outcome.observationId, fate: outcome.fate },
          },
        };
      },
    }),
  ];
}

/** What the routes answer, under the names that commands use. */
export type ApprovedChanges = z.output<typeof approvedSchema>;
export type RejectedChanges = z.output<typeof rejectedSchema>;
export type UndoneChanges = z.output<typeof undoneSchema>;
export type ResolvedConflict = z.output<typeof resolvedSchema>;
