import { type AddressInfo, isIP } from 'node:net';
import { isLoopback } from '../config/loopback.ts';
import type { Config } from '../config/schema.ts';
import type { Clock } from '../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { App } from './compose.ts';
import type { InheritedHttp } from './control/inherited-sockets.ts';

/** The address cannot be listened on: taken, not this machine's, or not for this user. */
class ListenError extends EngramdError {
  readonly code = 'LISTEN';
}

/** The supervisor would open /v1 to other machines, and nobody has set a token. */
class OpenSocketError extends EngramdError {
  readonly code = 'OPEN_SOCKET';
  override readonly exitCode = 2;
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there; ENGRAMD_HTTP_PORT sets another port, 0 any free one',
  EADDRNOTAVAIL: 'this machine has no such address; see ENGRAMD_HTTP_HOST',
  EACCES: 'this user may not listen there; ports below 1024 are reserved',
  ENOTFOUND: 'the name does not resolve; see ENGRAMD_HTTP_HOST',
};

/**
 * Starts to listen; the URL under which this machine reaches it, with the address and port really taken: those of an
 * inherited socket are its own, whatever the settings say.
 *
 * @throws ListenError, OpenSocketError
 */
export async function listen(
  app: App,
  config: Config,
  options: { readonly inherited: readonly InheritedHttp[]; readonly log: Pick<Log, 'warn'> },
): Promise<string> {
  const { inherited, log } = options;
  const [first, ...further] = inherited;
  if (first) {
    assertClosed(inherited, config);
    const wanted = inherited.find(({ address }) => isAsSet(address, config));
    if (!wanted) {
      log.warn(
        `the supervisor listens on ${inherited.map(({ address }) => inWords(address)).join(' and ')}, which holds: ` +
          `ENGRAMD_HTTP_HOST and ENGRAMD_HTTP_PORT say ${inWords({ address: hostOf(config), port: config.httpPort })}`,
      );
    }
    await first.moveTo(app.server);
    // A server listens once; a second address of the unit is served beside it.
    for (const listener of further) listener.accept((socket) => app.server.emit('connection', socket));
    return urlOf((wanted ?? first).address);
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
  return urlOf({
    address: host,
    port: typeof address === 'object' && address !== null ? address.port : config.httpPort,
  });
}

type Address = Pick<AddressInfo, 'address' | 'port'>;

/** The settings were judged by their own host when they were loaded; what counts is where it listens. */
function assertClosed(inherited: readonly InheritedHttp[], config: Config): void {
  const open = inherited.find(({ address }) => !isLoopback(address.address));
  if (!open || config.apiToken !== undefined) return;
  throw new OpenSocketError(
    `the socket that the supervisor hands down listens on ${inWords(open.address)}, which can be reached from other machines ` +
      'and needs ENGRAMD_API_TOKEN: set it, or install with a loopback ENGRAMD_HTTP_HOST',
  );
}

/** A port of 0 says any; what a name stands for is not asked. */
function isAsSet({ address, port }: Address, config: Config): boolean {
  const host = hostOf(config);
  const isHost = isIP(host) === 0 ? host !== 'localhost' || isLoopback(address) : host === address;
  return isHost && (config.httpPort === 0 || config.httpPort === port);
}

function urlOf({ address, port }: Address): string {
  // A wildcard is no address to connect to.
  const reachable = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
  return `http://${inWords({ address: reachable, port })}`;
}

function inWords({ address, port }: Address): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
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
