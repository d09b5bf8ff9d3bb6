import { z } from 'zod';
import { readHoldingBackups } from '../../store/backup-expiry.ts';
import { findBank } from '../../store/banks.ts';
import { bankNotFound, notFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { type Route, route } from '../route.ts';
import { bankItemParams, id } from '../schemas.ts';

export const invalidatedSchema = z
  .strictObject({
    id,
    invalidated_at: z.iso.datetime(),
    already: z.boolean().meta({ description: 'It was invalid before; nothing was changed.' }),
    observations: z
      .array(
        z.strictObject({
          id,
          text: z.string(),
          fate: z.enum(['rewrite', 'retire', 'history']).meta({
            description:
              'What the next consolidation does: says it again from the other sources, or retires it for want of any. `history`: no longer current; keeps its words.',
          }),
        }),
      )
      .meta({ description: 'Those that rest on it.' }),
  })
  .meta({ id: 'InvalidatedMemory' });

export const forgottenSchema = z
  .strictObject({
    forgotten: id,
    rewritten: z.array(id).meta({ description: 'Observations that say what their other sources say now.' }),
    deleted: z.array(id).meta({ description: 'Observations that rested on nothing else.' }),
    scrubbed_ops: z.int().min(0).meta({ description: 'Entries of the history that lost their texts.' }),
    conflicted_changes: z.array(id).meta({ description: 'Change sets that waited, and cannot be approved any more.' }),
    backups_expire_at: z.iso.datetime().nullable().meta({
      description: 'About when the last backup that holds it is gone, one being taken each night; null: there is none.',
    }),
    store_restored_at: z.iso.datetime().nullable().meta({
      description:
        'When a backup was last restored in the place of the store; null: never. Those from before that which another database took stay beyond `backups_expire_at`, until somebody removes them.',
    }),
  })
  .meta({ id: 'ForgottenMemory' });

type Forgotten = z.output<typeof forgottenSchema>;

const dayMs = 24 * 3_600_000;

/** What a person does to one memory. */
export function curationRoutes(deps: AppDeps): Route[] {
  const { db, curation, settings } = deps;

  async function missing(bankId: string, memoryId: string): Promise<Error> {
    return (await findBank(db, bankId)) ? notFound('memory', memoryId) : bankNotFound(bankId);
  }

  /** The newest one goes when so many newer ones stand; a store that does not change keeps it for longer. */
  async function heldInBackups(): Promise<Pick<Forgotten, 'backups_expire_at' | 'store_restored_at'>> {
    const { newestAt, restoredAt } = await readHoldingBackups(db);
    const expireAt = newestAt && new Date(newestAt.getTime() + settings.backupKeep * dayMs);
    return {
      backups_expire_at: expireAt?.toISOString() ?? null,
      store_restored_at: restoredAt?.toISOString() ?? null,
    };
  }

  return [
    route({
      method: 'POST',
      path: '/v1/banks/{bank}/memories/{id}/invalidate',
      operationId: 'invalidateMemory',
      summary: 'Marks a memory as not to be believed: kept, but neither recalled nor consolidated.',
      params: bankItemParams,
      response: invalidatedSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params }) {
        const report = await curation.invalidate({ bankId: params.bank, memoryId: params.id });
        if (!report) throw await missing(params.bank, params.id);
        return {
          status: 200,
          body: {
            id: report.memoryId,
            invalidated_at: report.invalidatedAt.toISOString(),
            already: report.already,
            observations: [...report.observations],
          },
        };
      },
    }),

    route({
      method: 'DELETE',
      path: '/v1/banks/{bank}/memories/{id}',
      operationId: 'forgetMemory',
      summary: 'Erases a memory and every text made from it, history included. This cannot be undone.',
      params: bankItemParams,
      response: forgottenSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, signal }) {
        const report = await curation.forget({ bankId: params.bank, memoryId: params.id, signal });
        if (!report) throw await missing(params.bank, params.id);
        return {
          status: 200,
          body: {
            forgotten: report.memoryId,
            rewritten: [...report.rewritten],
            deleted: [...report.deleted],
            scrubbed_ops: report.scrubbedOps,
            conflicted_changes: [...report.conflicted],
            ...(await heldInBackups()),
          },
        };
      },
    }),
  ];
}
