import { z } from 'zod';
import {
  MemoryInvalidatedError,
  type PinReport,
  type PinRequest,
  pinMemory,
  unpinMemory,
} from '../../significance/pins.ts';
import { findBank } from '../../store/banks.ts';
import { ApiError, bankNotFound, notFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { type Route, route } from '../route.ts';
import { bankItemParams, id, pins } from '../schemas.ts';

export const pinnedSchema = z
  .strictObject({
    id,
    pin: z.enum(pins).nullable(),
    already: z.boolean().meta({ description: 'It was so before; nothing was changed.' }),
    evicted: z.array(id).meta({ description: 'Automatic pins that made room.' }),
  })
  .meta({ id: 'PinnedMemory' });

/** Memories that a person holds in mind. */
export function pinRoutes(deps: AppDeps): Route[] {
  const { db, metrics, racepoints } = deps;
  const pinDeps = { db, metrics, racepoints, pinCap: deps.settings.pinCap, instanceId: deps.instance.id };

  async function answer(request: PinRequest, report: PinReport | null) {
    if (!report) {
      const { bankId, memoryId } = request;
      throw (await findBank(db, bankId)) ? notFound('memory', memoryId) : bankNotFound(bankId);
    }
    const { memoryId, pin, already, evicted } = report;
    return { status: 200, body: { id: memoryId, pin, already, evicted: [...evicted] } };
  }

  return [
    route({
      method: 'POST',
      path: '/v1/banks/{bank}/memories/{id}/pin',
      operationId: 'pinMemory',
      summary: 'Holds a memory in mind: first in recall on request, never retired, until it is unpinned.',
      params: bankItemParams,
      response: pinnedSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params }) {
        const request = { bankId: params.bank, memoryId: params.id };
        try {
          return await answer(request, await pinMemory(pinDeps, request));
        } catch (thrown) {
          if (thrown instanceof MemoryInvalidatedError) throw new ApiError(409, thrown.code, thrown.message);
          throw thrown;
        }
      },
    }),

    route({
      method: 'POST',
      path: '/v1/banks/{bank}/memories/{id}/unpin',
      operationId: 'unpinMemory',
      summary: 'Takes a pin away, whoever set it.',
      params: bankItemParams,
      response: pinnedSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params }) {
        const request = { bankId: params.bank, memoryId: params.id };
        return answer(request, await unpinMemory(pinDeps, request));
      },
    }),
  ];
}
