import type { Config } from '../config/schema.ts';
import type { Clock } from '../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { App } from './compose.ts';
import type { InheritedListener } from './control/inherited-sockets.ts';

/** The address cannot be listened on: taken, not this machine's, or not for this user. */
class ListenError extends EngramdError {
  readonly code = 'LISTEN';
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there; ENGRAMD_HTTP_PORT sets another port, 0 any free one',
  EADDRNOTAVAIL: 'this machine has no such address; see ENGRAMD_HTTP_HOST',
  EACCES: 'this user may not listen there; ports below 1024 are reserved',
  ENOTFOUND: 'the name does not resolve; see ENGRAMD_HTTP_HOST',
};

/**
 * Starts to listen; the URL under which this machine reaches it, with the port really taken.
 *
 * @throws ListenError
 */
export async function listen(app: App, config: Config, inherited: readonly InheritedListener[] = []): Promise<string> {
  const [first, ...further] = inherited;
  if (first) {
    await first.moveTo(app.server);
    // A server listens once; a second address of the unit is served beside it.
    for (const listener of further) listener.accept((socket) => app.server.emit('connection', socket));
    // The supervisor listens at what its unit says, which is the settings' to say as well.
    return urlOf(config, config.httpPort);
  }
  const host = hostOf(config);
  try {
    await app.listen({ host, port: config.httpPort });
  } catch (cause) {
    const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
    throw new ListenError(`cannot listen on ${host}:${config.httpPort}: ${reasons[code] ?? errorMessage(cause)}`, {
      cause,
    });
  }
  const address = app.server.address();
  return urlOf(config, typeof address === 'object' && address !== null ? address.port : config.httpPort);
}

function urlOf(config: Config, port: number): string {
  const host = hostOf(config);
  // A wildcard is no address to connect to.
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

function hostOf(config: Config): string {
  return config.httpHost.replace(/^\[(.*)\]$/, '$1');
}

/** What an answer that is being made may still take. */
const requestGraceMs = 2000;

/**
 * Takes no more requests, lets those under way be answered, and cuts off what takes too long: a client that never
 * finishes its request must not turn an ordered stop into a failed one.
 */
export async function closeHttp(app: App, clock: Clock): Promise<void> {
  const closed = new AbortController();
  const closing = app.close().finally(() => closed.abort());
  await Promise.race([closing, clock.sleep(requestGraceMs, closed.signal)]);
  if (!closed.signal.aborted) app.server.closeAllConnections();
  await closing;
}
