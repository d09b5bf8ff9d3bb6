import { z } from 'zod';
import { createRecall, type RecallRequest, type RecallResult } from '../../recall/recall.ts';
import { createRecallAsOf, InstantError } from '../../recall/recall-as-of.ts';
import { findBank } from '../../store/banks.ts';
import { ApiError, bankNotFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { instantOf } from '../as-of.ts';
import { presentRecall } from '../present.ts';
import { type Route, route } from '../route.ts';
import { bankParams, recallResultSchema } from '../schemas.ts';

const wholeNumber = (from: number, to: number) => {
  const message = `must be a whole number from ${from} to ${to}`;
  return z.int(message).min(from, message).max(to, message);
};

export function recallRoutes(deps: AppDeps): Route[] {
  const { recall } = createRecall(deps);
  const recallAsOf = createRecallAsOf(deps);

  async function recallThen(request: RecallRequest, asOf: string): Promise<RecallResult> {
    try {
      const result = await recallAsOf({ ...request, asOf: instantOf(asOf, deps.clock.now()) });
      if (result) return result;
    } catch (thrown) {
      if (thrown instanceof InstantError) throw new ApiError(400, thrown.code, thrown.message);
      throw thrown;
    }
    throw bankNotFound(request.bankId);
  }

  return [
    route({
      method: 'POST',
      path: '/v1/banks/{bank}/recall',
      operationId: 'recall',
      summary: 'What a bank knows about a query: observations with their sources, and raw memories.',
      params: bankParams,
      body: z
        .strictObject({
          query: z
            .string()
            .max(4000, 'must be at most 4000 characters long')
            .refine((text) => text.trim() !== '', 'must not be blank')
            .refine((text) => !text.includes('\0') && text.isWellFormed(), 'must not contain NUL or lone surrogates'),
          limit: wholeNumber(1, 100).optional().meta({ description: 'Most items; default 10.' }),
          max_tokens: wholeNumber(1, 1_000_000).optional().meta({
            description:
              'Most tokens of the texts of all items together, estimated as characters / 4. Sources come on top.',
          }),
          tags: z
            .array(z.string().min(1).max(64))
            .max(32)
            .optional()
            .meta({ description: 'Only what carries all of these.' }),
          only: z.enum(['observations', 'memories'], { error: 'must be "observations" or "memories"' }).optional(),
          sources: wholeNumber(0, 50).optional().meta({ description: 'Most sources an observation; default 3.' }),
          pinned: z.boolean().optional().meta({
            description: 'What is pinned comes first, the newest pins ahead, and counts in limit and max_tokens.',
          }),
          as_of: z.string().max(64).optional().meta({
            description:
              'What the bank would have answered at this instant, by what it knew then: ISO 8601 with a zone, or how long ago: `90s`, `45m`, `2h`, `3d`, `1w`. What was forgotten since stays forgotten, what was edited since is left out. State and pin of a memory are those of now.',
          }),
          include_superseded: z.boolean().optional(),
          include_folded: z.boolean().optional(),
          include_retired: z.boolean().optional(),
        })
        .refine(({ pinned, only }) => !pinned || only !== 'observations', {
          path: ['pinned'],
          message: 'is about memories, which "only": "observations" leaves out',
        })
        .refine(({ pinned, as_of }) => !pinned || as_of === undefined, {
          path: ['pinned'],
          message: 'is about now; which pins there were "as_of" an instant is not known',
        })
        .meta({ id: 'RecallRequest' }),
      response: recallResultSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, body, signal }) {
        const request: RecallRequest = {
          bankId: params.bank,
          query: body.query,
          limit: body.limit,
          maxTokens: body.max_tokens,
          tags: body.tags,
          only: body.only,
          sourcesPerItem: body.sources,
          pinnedFirst: body.pinned,
          includeSuperseded: body.include_superseded,
          includeFolded: body.include_folded,
          includeRetired: body.include_retired,
          signal,
        };
        const result = await (body.as_of === undefined ? recall(request) : recallThen(request, body.as_of));
        if (result.items.length === 0 && !(await findBank(deps.db, params.bank))) throw bankNotFound(params.bank);
        return { status: 200, body: presentRecall(result) };
      },
    }),
  ];
}
