import { z } from 'zod';
import { bankNameSchema } from '../../ingest/bank-name.ts';
import type { AppDeps } from '../app-deps.ts';
import { limitSchema } from '../cursor.ts';
import { presentJob } from '../present.ts';
import { type Route, route } from '../route.ts';
import { jobSchema, statusSchema } from '../schemas.ts';
import { createStatusBoard, readStatus } from '../status-board.ts';

/** What the daemon is and does. Asking is never activity (law L11). */
export function daemonRoutes(deps: AppDeps): Route[] {
  const { queue } = deps;
  const status = deps.status ?? createStatusBoard(deps);

  return [
    route({
      method: 'GET',
      path: '/v1/status',
      operationId: 'status',
      summary: 'What the daemon is doing, over all banks.',
      response: statusSchema,
      successStatus: 200,
      isWork: false,
      handle: async () => ({ status: 200, body: await readStatus(status, deps) }),
    }),

    route({
      method: 'GET',
      path: '/v1/jobs',
      operationId: 'listJobs',
      summary: 'Background jobs, newest first; `dead=true` are those that gave up.',
      query: z.strictObject({
        dead: z.enum(['true', 'false'], { error: 'must be true or false' }).default('false'),
        limit: limitSchema(50, 500),
      }),
      response: z.strictObject({ jobs: z.array(jobSchema) }).meta({ id: 'Jobs' }),
      successStatus: 200,
      isWork: false,
      async handle({ query }) {
        const jobs = await queue.listJobs({ deadOnly: query.dead === 'true', limit: query.limit });
        return { status: 200, body: { jobs: jobs.map(presentJob) } };
      },
    }),

    route({
      method: 'POST',
      path: '/v1/jobs/retry',
      operationId: 'retryJobs',
      summary: 'Hands dead jobs back to their queues; decides and scores again what was given up.',
      body: z
        .strictObject({
          jobs: z
            .array(z.uuid('must be a UUID'))
            .max(1000)
            .optional()
            .meta({ description: 'Only these; default all dead ones. An empty list: none.' }),
          bank: bankNameSchema.optional().meta({ description: 'Parked memories of this bank only.' }),
          parked: z.boolean().optional().meta({ description: 'false leaves parked memories alone.' }),
        })
        .meta({ id: 'RetryRequest' }),
      response: z
        .strictObject({
          jobs: z.int(),
          memories: z.int(),
          scores: z.int().meta({ description: 'Memories whose score had been given up.' }),
        })
        .meta({ id: 'Retried' }),
      successStatus: 200,
      isWork: true,
      async handle({ body }) {
        const jobs = await queue.retryJobs(body.jobs ?? 'dead');
        const none = { memories: 0, scores: 0 };
        const { memories, scores } = body.parked === false ? none : await queue.retryParked(body.bank ?? null);
        return { status: 200, body: { jobs, memories, scores } };
      },
    }),
  ];
}
