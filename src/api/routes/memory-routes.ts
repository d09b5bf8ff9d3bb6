import { z } from 'zod';
import type { FieldError } from '../../ingest/field-errors.ts';
import { idempotentRequest } from '../../ingest/idempotent-write.ts';
import { IngestKeyConflictError } from '../../ingest/ingest-errors.ts';
import { memoryInputSchema, memoryInputsSchema } from '../../ingest/memory-schema.ts';
import { createMemoryWriter } from '../../ingest/write-memories.ts';
import { findBank } from '../../store/banks.ts';
import { listMemoryIds, listObservationIds, loadMemories } from '../../store/memory-rows.ts';
import { loadObservations } from '../../store/recall-rows.ts';
import { bankNotFound, notFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { cursorSchema, encodeCursor, limitSchema, pageEnd } from '../cursor.ts';
import { presentMemory, presentObservation } from '../present.ts';
import { type Route, route } from '../route.ts';
import {
  bankItemParams,
  bankParams,
  memorySchema,
  memoryStates,
  observationSchema,
  observationStates,
  pageSchema,
  writeResultSchema,
} from '../schemas.ts';
import { replayedHeader } from './bank-routes.ts';

const path = '/v1/banks/{bank}/memories';

const bodySchema = z.union([memoryInputSchema, memoryInputsSchema]).meta({ id: 'MemoriesToWrite' });

export function memoryRoutes(deps: AppDeps): Route[] {
  const { db, queue } = deps;
  const writer = createMemoryWriter({
    db,
    instanceId: deps.instance.id,
    newId: deps.newId,
    hint: (bankId) => queue.hint(bankId),
    racepoints: deps.racepoints,
    metrics: deps.metrics,
    log: deps.log,
  });

  /** An empty list of a bank that is not there is not an empty list. */
  async function requireBankFor(rows: readonly unknown[], bankId: string): Promise<void> {
    if (rows.length === 0 && !(await findBank(db, bankId))) throw bankNotFound(bankId);
  }

  return [
    route({
      method: 'POST',
      path,
      operationId: 'writeMemories',
      summary: 'Writes one memory or a list of them, all or none, making the bank if need be.',
      params: bankParams,
      body: bodySchema,
      // The errors of a union are those of all its members, and name no element.
      bodyOf: (value) => (Array.isArray(value) ? memoryInputsSchema : memoryInputSchema),
      response: writeResultSchema,
      successStatus: 201,
      takesIdempotencyKey: true,
      isWork: true,
      async handle({ params, body, idempotencyKey }) {
        const isList = Array.isArray(body);
        const idempotency =
          idempotencyKey === undefined
            ? undefined
            : idempotentRequest(params.bank, idempotencyKey, `POST ${path}`, body);
        try {
          const { replayed, ...result } = await writer.writeMemories(params.bank, isList ? body : [body], {
            idempotency,
          });
          const written = { ...result, memories: [...result.memories] };
          return { status: 201, body: written, ...(replayed && { headers: replayedHeader }) };
        } catch (thrown) {
          if (thrown instanceof IngestKeyConflictError && !isList) {
            throw new IngestKeyConflictError(thrown.errors.map(withoutPosition));
          }
          throw thrown;
        }
      },
    }),

    route({
      method: 'GET',
      path,
      operationId: 'listMemories',
      summary: 'Memories, newest first.',
      params: bankParams,
      query: z.strictObject({
        state: z.enum(memoryStates).optional(),
        pinned: z
          .literal('true', 'must be "true", or left out')
          .optional()
          .meta({ description: 'Only what is pinned.' }),
        limit: limitSchema(50, 500),
        cursor: cursorSchema,
      }),
      response: pageSchema({ memories: z.array(memorySchema) }),
      successStatus: 200,
      isWork: true,
      async handle({ params, query }) {
        const page = await listMemoryIds(db, params.bank, {
          state: query.state ?? null,
          pinnedOnly: query.pinned !== undefined,
          after: pageEnd(query.cursor),
          limit: query.limit,
        });
        await requireBankFor(page.ids, params.bank);
        const memories = inOrder(page.ids, await loadMemories(db, params.bank, page.ids));
        return { status: 200, body: { memories: memories.map(presentMemory), next_cursor: encodeCursor(page.end) } };
      },
    }),

    route({
      method: 'GET',
      path: '/v1/banks/{bank}/memories/{id}',
      operationId: 'getMemory',
      summary: 'A memory and what cites it.',
      params: bankItemParams,
      response: memorySchema,
      successStatus: 200,
      isWork: true,
      async handle({ params }) {
        const [memory] = await loadMemories(db, params.bank, [params.id]);
        if (!memory) throw notFound('memory', params.id);
        return { status: 200, body: presentMemory(memory) };
      },
    }),

    route({
      method: 'GET',
      path: '/v1/banks/{bank}/observations',
      operationId: 'listObservations',
      summary: 'Observations, newest first; the live ones unless another state is asked for.',
      params: bankParams,
      query: z.strictObject({
        state: z.enum([...observationStates, 'all']).default('live'),
        limit: limitSchema(50, 500),
        cursor: cursorSchema,
      }),
      response: pageSchema({ observations: z.array(observationSchema) }),
      successStatus: 200,
      isWork: true,
      async handle({ params, query }) {
        const page = await listObservationIds(db, params.bank, {
          state: query.state === 'all' ? null : query.state,
          after: pageEnd(query.cursor),
          limit: query.limit,
        });
        await requireBankFor(page.ids, params.bank);
        const rows = inOrder(page.ids, await loadObservations(db, params.bank, page.ids, 3));
        return {
          status: 200,
          body: { observations: rows.map(presentObservation), next_cursor: encodeCursor(page.end) },
        };
      },
    }),
  ];
}

function inOrder<T extends { readonly id: string }>(ids: readonly string[], rows: readonly T[]): T[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}

const withoutPosition = ({ path: at, message }: FieldError): FieldError => ({
  path: at.replace(/^\[\d+\]\.?/, ''),
  message,
});
