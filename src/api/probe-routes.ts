import type { FastifyInstance } from 'fastify';
import type { AppDeps } from './app-deps.ts';
import { bearerGuard } from './security.ts';
import { createStoreGauges } from './store-gauges.ts';

const pingMs = 1000;

/** Health, readiness and metrics: open (metrics on request not), outside `/v1`, and never activity. */
export function addProbeRoutes(app: FastifyInstance, deps: AppDeps): void {
  const { metrics } = deps;
  const gauges = createStoreGauges(deps);
  const guardMetrics = bearerGuard(deps.settings.metricsToken);
  const isDatabaseUp = createPing(deps);

  app.get('/healthz', { config: { isOpen: true } }, async () => ({
    status: 'alive',
    // Told, so that a command which finds an address in a file knows whether it is still that daemon's.
    instance_id: deps.instance.id,
  }));

  app.get('/readyz', { config: { isOpen: true } }, async (_request, reply) => {
    const condition = deps.condition();
    if (condition !== 'ready') return reply.code(503).send({ status: condition });
    // A parked daemon takes requests as they come and asks the database nothing until then.
    if (deps.life?.view().isParked) return { status: 'ready', parked: true };
    if (!(await isDatabaseUp())) return reply.code(503).send({ status: 'database does not answer' });
    return { status: 'ready' };
  });

  metrics.buildInfo.set({ version: deps.instance.version }, 1);
  metrics.startTimeSeconds.set(deps.instance.startedAt.getTime() / 1000);
  app.get('/metrics', { config: { isOpen: true } }, async (request, reply) => {
    guardMetrics(request.headers.authorization);
    deps.beforeScrape?.();
    await gauges.refresh({ mayRead: !deps.life?.view().isParked });
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
}

/** One question to the database at a time, however many probes come; no answer within a second is a no. */
function createPing({ db, clock }: Pick<AppDeps, 'db' | 'clock'>): () => Promise<boolean> {
  let asking: Promise<boolean> | undefined;
  return async () => {
    asking ??= db
      .query('select 1')
      .then(
        () => true,
        () => false,
      )
      .finally(() => {
        asking = undefined;
      });
    const over = new AbortController();
    const answer = await Promise.race([asking, clock.sleep(pingMs, over.signal).then(() => false)]);
    over.abort();
    return answer;
  };
}
