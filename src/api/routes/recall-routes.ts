import { z } from 'zod';
import { createRecall } from '../../recall/recall.ts';
import { findBank } from '../../store/banks.ts';
import { bankNotFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { presentRecall } from '../present.ts';
import { type Route, route } from '../route.ts';
import { bankParams, recallResultSchema } from '../schemas.ts';

const wholeNumber = (from: number, to: number) => {
  const message = `must be a whole number from ${from} to ${to}`;
  return z.int(message).min(from, message).max(to, message);
};

export function recallRoutes(deps: AppDeps): Route[] {
  const { recall } = createRecall(deps);
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
          include_superseded: z.boolean().optional(),
          include_folded: z.boolean().optional(),
          include_retired: z.boolean().optional(),
        })
        .refine(({ pinned, only }) => !pinned || only !== 'observations', {
          path: ['pinned'],
          message: 'is about memories, which "only": "observations" leaves out',
        })
        .meta({ id: 'RecallRequest' }),
      response: recallResultSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, body, signal }) {
        const result = await recall({
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
        });
        if (result.items.length === 0 && !(await findBank(deps.db, params.bank))) throw bankNotFound(params.bank);
        return { status: 200, body: presentRecall(result) };
      },
    }),
  ];
}
