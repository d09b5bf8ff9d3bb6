import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { fieldErrors } from '../ingest/field-errors.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { ApiError } from './api-error.ts';
import type { AppDeps } from './app-deps.ts';
import { parseJsonBody } from './json-body.ts';
import { openApi } from './openapi.ts';
import { addProbeRoutes } from './probe-routes.ts';
import { problemOf } from './problem.ts';
import type { Route } from './route.ts';
import { bankRoutes } from './routes/bank-routes.ts';
import { consolidationRoutes } from './routes/consolidation-routes.ts';
import { costRoutes } from './routes/cost-routes.ts';
import { curationRoutes } from './routes/curation-routes.ts';
import { daemonRoutes } from './routes/daemon-routes.ts';
import { embeddingRoutes } from './routes/embedding-routes.ts';
import { explainRoutes } from './routes/explain-routes.ts';
import { memoryRoutes } from './routes/memory-routes.ts';
import { recallRoutes } from './routes/recall-routes.ts';
import { reviewRoutes } from './routes/review-routes.ts';
import { bearerGuard, hostGuard, requireJson } from './security.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Asks for no token and answers in any condition. What does not say so is guarded. */
    isOpen?: boolean;
    /** Label of metrics: the path as OpenAPI writes it. */
    template?: string;
  }
}

const maxBodyBytes = 1024 * 1024;
const maxKeyLength = 255;

/**
 * The HTTP surface, not listening yet: a daemon calls `listen`, a command without a daemon calls `inject`, and both
 * reach the same routes.
 */
export async function createApp(deps: AppDeps): Promise<FastifyInstance> {
  const app = Fastify({
    bodyLimit: maxBodyBytes,
    // A request line has room for the longest cursor; a client that sends a byte a minute does not keep a connection.
    requestTimeout: 60_000,
    routerOptions: { maxParamLength: 512 },
    frameworkErrors: (error, request, reply) => sendProblem(deps, error, request, reply),
    clientErrorHandler: (error, socket) => {
      if (error.code === 'ECONNRESET' || !socket.writable) return;
      const { status, body } = problemOf({ statusCode: 400 });
      const text = JSON.stringify(body);
      socket.end(
        `HTTP/1.1 ${status} Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\nconnection: close\r\n\r\n${text}`,
      );
    },
  });
  guard(app, deps);
  measure(app, deps);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
    parseJsonBody(body),
  );
  app.setErrorHandler((error, request, reply) => sendProblem(deps, error, request, reply));
  app.setNotFoundHandler(() => {
    throw new ApiError(404, 'NOT_FOUND', 'there is nothing here; /v1/openapi.json lists what there is');
  });

  addProbeRoutes(app, deps);
  const routes = [
    ...bankRoutes(deps),
    ...memoryRoutes(deps),
    ...recallRoutes(deps),
    ...consolidationRoutes(deps),
    ...curationRoutes(deps),
    ...reviewRoutes(deps),
    ...explainRoutes(deps),
    ...costRoutes(deps),
    ...daemonRoutes(deps),
    ...embeddingRoutes(deps),
  ];
  for (const spec of routes) addRoute(app, spec, deps);
  const document = openApi(routes, deps.instance.version);
  app.get('/v1/openapi.json', async () => document);
  await app.ready();
  return app;
}

/** In the order in which a stranger should learn things: nothing before the Host, nothing more before the token. */
function guard(app: FastifyInstance, deps: AppDeps): void {
  const checkHost = hostGuard(deps.settings.httpHost, deps.settings.allowedHosts);
  const checkToken = bearerGuard(deps.settings.apiToken);
  app.addHook('onRequest', async (request) => {
    checkHost(request.headers.host);
    // By route and not by path: the router decodes paths, `/%761/…` is `/v1/…` for it.
    if (request.routeOptions.config?.isOpen) return;
    checkToken(request.headers.authorization);
    const hasBody =
      request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
    if (!request.is404) requireJson(request.method, request.headers['content-type'], hasBody);
    const condition = deps.condition();
    if (condition !== 'ready') throw new ApiError(503, condition.toUpperCase(), `the daemon is ${condition}`);
  });
}

function measure(app: FastifyInstance, { metrics }: AppDeps): void {
  app.addHook('onResponse', async (request, reply) => {
    // Templates and classes: a label for each bank or each status would grow with what strangers send.
    const route = request.is404
      ? 'unmatched'
      : (request.routeOptions.config?.template ?? request.routeOptions.url ?? 'unmatched');
    const method = knownMethods.has(request.method) ? request.method : 'other';
    metrics.httpRequests.inc({ route, method, status: `${Math.floor(reply.statusCode / 100)}xx` });
    metrics.httpSeconds.observe({ route }, reply.elapsedTime / 1000);
  });
}

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'DELETE', 'PUT', 'PATCH', 'OPTIONS']);

function addRoute(app: FastifyInstance, spec: Route, deps: AppDeps): void {
  app.route({
    method: spec.method,
    url: spec.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    config: { template: spec.path },
    async handler(request, reply) {
      const input = {
        params: checked(spec.params ?? noFields, request.params),
        query: checked(spec.query ?? noFields, request.query),
        body: spec.body && checked(spec.bodyOf?.(request.body) ?? spec.body, request.body),
        idempotencyKey: spec.takesIdempotencyKey ? idempotencyKeyOf(request) : undefined,
        signal: goneSignal(reply),
      };
      if (spec.isWork) deps.onWork?.(spec.path);
      const { status, body, headers } = await spec.handle(input);
      return reply
        .code(status)
        .headers({ ...headers })
        .send(body);
    },
  });
}

const noFields = z.strictObject({});

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const details = fieldErrors(parsed.error);
  const [first] = details;
  const more = details.length > 1 ? ` (and ${details.length - 1} more)` : '';
  const message = first ? `${first.path === '' ? 'the body' : first.path}: ${first.message}${more}` : 'not valid';
  throw new ApiError(422, 'INVALID', message, details);
}

function idempotencyKeyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && key.length >= 1 && key.length <= maxKeyLength && /^[\x20-\x7e]+$/.test(key))
    return key;
  throw new ApiError(422, 'INVALID', `Idempotency-Key: must be 1 to ${maxKeyLength} printable ASCII characters`, [
    { path: 'Idempotency-Key', message: `must be 1 to ${maxKeyLength} printable ASCII characters` },
  ]);
}

/** Aborted when the connection goes before the answer has gone out. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort(new Error('the client went away'));
  });
  return gone.signal;
}

function sendProblem(deps: AppDeps, thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { status, body } = problemOf(thrown);
  const route = request.routeOptions?.config?.template ?? 'unmatched';
  if (status >= 500)
    deps.log.error({ route, status, code: body.error.code, error: errorMessage(thrown) }, 'request failed');
  if (status === 401) reply.header('www-authenticate', 'Bearer');
  if (status === 503) reply.header('retry-after', '5');
  reply.code(status).type('application/json; charset=utf-8').send(body);
}
