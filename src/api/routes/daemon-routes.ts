import { z } from 'zod';
import { sqlState } from '../../db/errors.ts';
import { bankNameSchema } from '../../ingest/bank-name.ts';
import { countStore } from '../../store/counts.ts';
import type { AppDeps } from '../app-deps.ts';
import { limitSchema } from '../cursor.ts';
import { presentModelStatus } from '../model-status.ts';
import { presentJob, presentQueueCounts } from '../present.ts';
import { type Route, route } from '../route.ts';
import { jobSchema, statusSchema } from '../schemas.ts';

const undefinedTable = '42P01';

/** What the daemon is and does. Asking is never activity (law L11). */
export function daemonRoutes(deps: AppDeps): Route[] {
  const { db, queue, instance, settings, embedder } = deps;

  async function queueSnapshot() {
    try {
      return await queue.snapshot();
    } catch (thrown) {
      // A command without workers on a database whose queue nobody has started yet.
      if (sqlState(thrown) === undefinedTable) return null;
      throw thrown;
    }
  }

  return [
    route({
      method: 'GET',
      path: '/v1/status',
      operationId: 'status',
      summary: 'What the daemon is doing, over all banks.',
      response: statusSchema,
      successStatus: 200,
      isWork: false,
      async handle() {
        const counts = await countStore(db);
        const jobs = await queueSnapshot();
        return {
          status: 200,
          body: {
            version: instance.version,
            instance_id: instance.id,
            condition: deps.condition(),
            started_at: instance.startedAt.toISOString(),
            uptime_seconds: Math.max(0, (deps.clock.now().getTime() - instance.startedAt.getTime()) / 1000),
            decider: settings.decider,
            embedding: {
              model: embedder.model.id,
              dimensions: embedder.model.dimensions,
              configured: settings.configuredModel.id,
              pinned_differs: settings.configuredModel.id !== embedder.model.id,
            },
            ...(await presentModelStatus(deps)),
            vectors: deps.vectors.kind,
            pool: db.poolCounts(),
            banks: counts.banks,
            memories: counts.memories,
            due: counts.due,
            oldest_due_seconds: counts.oldestDueSeconds,
            unembedded: counts.unembedded,
            observations: counts.observations,
            open_conflicts: counts.openConflicts,
            proposed_changes: counts.proposed,
            queue: jobs && {
              consolidate: presentQueueCounts(jobs.consolidate),
              embed: presentQueueCounts(jobs.embed),
              dead_letters: jobs.deadLetters,
              in_flight: jobs.inFlight,
            },
            life: null,
          },
        };
      },
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
      summary: 'Hands dead jobs back to their queues and makes parked memories pending again.',
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
      response: z.strictObject({ jobs: z.int(), memories: z.int() }).meta({ id: 'Retried' }),
      successStatus: 200,
      isWork: true,
      async handle({ body }) {
        const jobs = await queue.retryJobs(body.jobs ?? 'dead');
        const memories = body.parked === false ? 0 : await queue.retryParked(body.bank ?? null);
        return { status: 200, body: { jobs, memories } };
      },
    }),
  ];
}
