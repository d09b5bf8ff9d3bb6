import { z } from 'zod';
import { bankNameSchema } from '../../ingest/bank-name.ts';
import { idempotently, idempotentRequest } from '../../ingest/idempotent-write.ts';
import { type Bank, createBank, deleteBank, findBank, listBanks } from '../../store/banks.ts';
import { countBanks } from '../../store/counts.ts';
import { markWriter } from '../../store/memories.ts';
import { ApiError, bankNotFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { limitSchema } from '../cursor.ts';
import { presentBank } from '../present.ts';
import { type Route, route } from '../route.ts';
import { bankParams, bankSchema, pageSchema } from '../schemas.ts';

export function bankRoutes(deps: AppDeps): Route[] {
  const { db } = deps;

  async function present(banks: readonly Bank[]) {
    const counts = await countBanks(
      db,
      banks.map((bank) => bank.id),
    );
    // A bank that went between the two looks is left out.
    return banks.flatMap((bank) => {
      const of = counts.get(bank.id);
      return of ? [presentBank(bank, of)] : [];
    });
  }

  async function presentOne(bankId: string) {
    const bank = await findBank(db, bankId);
    const [presented] = bank ? await present([bank]) : [];
    if (!presented) throw bankNotFound(bankId);
    return presented;
  }

  return [
    route({
      method: 'GET',
      path: '/v1/banks',
      operationId: 'listBanks',
      summary: 'Banks by name, with what stands in them.',
      query: z.strictObject({
        limit: limitSchema(100, 1000),
        cursor: bankNameSchema.optional().meta({ description: '`next_cursor` of the page before.' }),
      }),
      response: pageSchema({ banks: z.array(bankSchema) }),
      successStatus: 200,
      isWork: true,
      async handle({ query }) {
        const banks = await listBanks(db, { after: query.cursor ?? '', limit: query.limit + 1 });
        const page = banks.slice(0, query.limit);
        const next = banks.length > query.limit ? (page.at(-1)?.id ?? null) : null;
        return { status: 200, body: { banks: await present(page), next_cursor: next } };
      },
    }),

    route({
      method: 'POST',
      path: '/v1/banks',
      operationId: 'createBank',
      summary: 'Makes a bank. Writing a memory to one that is not there makes it as well.',
      body: z
        .strictObject({
          id: bankNameSchema,
          mission: z.string().max(4000, 'must be at most 4000 characters long').optional().meta({
            description: 'What the bank is for; deciders are told.',
          }),
        })
        .meta({ id: 'NewBank' }),
      response: bankSchema,
      successStatus: 201,
      takesIdempotencyKey: true,
      isWork: true,
      async handle({ body, idempotencyKey }) {
        const request =
          idempotencyKey === undefined ? undefined : idempotentRequest('', idempotencyKey, 'POST /v1/banks', body);
        const { replayed } = await db.tx({ label: 'create-bank' }, (tx) =>
          idempotently(tx, request, 201, async () => {
            if (await createBank(tx, body.id, body.mission)) return { id: body.id };
            throw new ApiError(409, 'BANK_EXISTS', `there is a bank ${JSON.stringify(body.id)} already`);
          }),
        );
        return { status: 201, body: await presentOne(body.id), ...(replayed && { headers: replayedHeader }) };
      },
    }),

    route({
      method: 'GET',
      path: '/v1/banks/{bank}',
      operationId: 'getBank',
      summary: 'A bank and what stands in it.',
      params: bankParams,
      response: bankSchema,
      successStatus: 200,
      isWork: true,
      handle: async ({ params }) => ({ status: 200, body: await presentOne(params.bank) }),
    }),

    route({
      method: 'DELETE',
      path: '/v1/banks/{bank}',
      operationId: 'deleteBank',
      summary: 'Deletes a bank with everything in it. This cannot be undone.',
      params: bankParams,
      response: z.strictObject({ deleted: z.string() }).meta({ id: 'DeletedBank' }),
      successStatus: 200,
      isWork: true,
      async handle({ params }) {
        const deleted = await db.tx({ label: 'delete-bank' }, async (tx) => {
          await markWriter(tx, deps.instance.id);
          return deleteBank(tx, params.bank);
        });
        if (!deleted) throw bankNotFound(params.bank);
        return { status: 200, body: { deleted: params.bank } };
      },
    }),
  ];
}

/** Says that an answer is the one kept from the first time. */
export const replayedHeader = { 'idempotency-replayed': 'true' } as const;
