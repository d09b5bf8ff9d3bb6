import { Readable } from 'node:stream';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { ApiError } from './api-error.ts';
import type { AppDeps } from './app-deps.ts';
import { parseJsonBody } from './json-body.ts';
import { openApi } from './openapi.ts';
import { performRoute } from './perform-route.ts';
import { addProbeRoutes } from './probe-routes.ts';
import { problemOf } from './problem.ts';
import type { Route } from './route.ts';
import { apiRoutes } from './routes/api-routes.ts';
import { bearerGuard, hostGuard, requireJson } from './security.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Asks for no token and answers in any condition. What does not say so is guarded. */
    isOpen?: boolean;
    /** Label of metrics: the path as OpenAPI writes it. */
    template?: string;
    isStream?: boolean;
  }
}

const maxBodyBytes = 1024 * 1024;

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
  // Before connections are waited for: a stream ends only if somebody ends it.
  app.addHook('preClose', async () => deps.followers?.stop());
  app.setErrorHandler((error, request, reply) => sendProblem(deps, error, request, reply));
  app.setNotFoundHandler(() => {
    throw new ApiError(404, 'NOT_FOUND', 'there is nothing here; /v1/openapi.json lists what there is');
  });

  addProbeRoutes(app, deps);
  const routes = apiRoutes(deps);
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
    // How long somebody has followed is no latency.
    if (!request.routeOptions.config?.isStream) metrics.httpSeconds.observe({ route }, reply.elapsedTime / 1000);
  });
}

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'DELETE', 'PUT', 'PATCH', 'OPTIONS']);

function addRoute(app: FastifyInstance, spec: Route, deps: AppDeps): void {
  app.route({
    method: spec.method,
    url: spec.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    config: { template: spec.path, isStream: spec.isStream === true },
    async handler(request, reply) {
      const raw = {
        params: request.params,
        query: request.query,
        body: request.body,
        idempotencyKey: request.headers['idempotency-key'],
        idempotencyName: 'Idempotency-Key',
        signal: goneSignal(reply),
      };
      const { status, body, headers } = await performRoute(spec, raw, deps.activity);
      if (spec.isStream) return sendLines(reply.code(status), body as AsyncIterable<unknown>);
      return reply
        .code(status)
        .headers({ ...headers })
        .send(body);
    },
  });
}

/** As NDJSON: a line is taken from `lines` when the socket has room for it. */
function sendLines(reply: FastifyReply, lines: AsyncIterable<unknown>): FastifyReply {
  // A peer that went without a word is found out by the kernel; nothing is sent for that, nor any timer kept.
  reply.raw.socket?.setKeepAlive(true, 30_000);
  reply.type('application/x-ndjson; charset=utf-8').send(Readable.from(asLines(lines), { highWaterMark: 16 }));
  // Who follows learns at once that it does, not with the first line.
  reply.raw.flushHeaders();
  return reply;
}

async function* asLines(values: AsyncIterable<unknown>): AsyncGenerator<string, void, void> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`;
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
