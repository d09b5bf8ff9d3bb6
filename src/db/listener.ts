import pg from 'pg';
import type { Clock } from '../telemetry/clock.ts';
import { type EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Queryable } from './database.ts';

export interface ListenerDeps {
  /** Of the server itself: a pooler that hands out connections a transaction at a time passes no notifications on. */
  readonly connectionString: string;
  readonly applicationName: string;
  readonly channels: readonly string[];
  readonly onNotify: (channel: string, payload: string) => void;
  /**
   * From now on nothing is missed. What was notified before this was said to nobody, also before the first time: look once
   * at whatever it is about.
   */
  readonly onListening: () => void;
  /** Asked of each session before it listens: why this process may not go on, or null. It keeps the locks taken here. */
  readonly admit?: (session: Queryable) => Promise<EngramdError | null>;
  /** Told what `admit` said, once. Nothing is listened to by then, and no session is opened any more. */
  readonly onRefused?: (error: EngramdError) => void;
  readonly log: Log;
  readonly clock: Clock;
  /** 0 to 1; spreads the daemons of a server that comes back. */
  readonly random: () => number;
}

export interface Listener {
  /** Resolves when it listens for the first time, however often that takes to come about, or is stopped. Never rejects. */
  readonly ready: Promise<void>;
  isConnected(): boolean;
  stop(): Promise<void>;
}

const firstPauseMs = 250;
const longestPauseMs = 30_000;
/** A connection that stood this long was a good one: the next loss starts again from the first pause. */
const goodAfterMs = 60_000;
/** Of silence before the kernel asks whether the other end is there; then ten times, a second apart. */
const keepAliveAfterMs = 10_000;
const connectTimeoutMs = 10_000;
/** A goodbye that no one answers: the network is gone. */
const goodbyeMs = 500;

/**
 * One connection outside the pool that only listens. It asks nothing while nothing happens: that the other end is gone is
 * TCP's to find out. After a loss it connects again, with growing pauses, for as long as it takes.
 */
export function startListener(deps: ListenerDeps): Listener {
  const { log, clock } = deps;
  const stopped = new AbortController();
  const ready = Promise.withResolvers<void>();
  let isConnected = false;

  async function keepListening(): Promise<void> {
    for (let failures = 0; !stopped.signal.aborted; failures += 1) {
      const startedMs = clock.monotonicMs();
      try {
        await listenOnce();
      } catch (thrown) {
        log.warn(
          { error: errorMessage(thrown), failures },
          'the database does not answer the listener; it tries again',
        );
      }
      isConnected = false;
      if (clock.monotonicMs() - startedMs >= goodAfterMs) failures = 0;
      // Full jitter.
      const pauseMs = deps.random() * Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failures, 10));
      await clock.sleep(pauseMs, stopped.signal);
    }
    ready.resolve();
  }

  /** Connects, listens, and returns when the connection is over. */
  async function listenOnce(): Promise<void> {
    const client = new pg.Client({
      connectionString: deps.connectionString,
      application_name: deps.applicationName,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: keepAliveAfterMs,
    });
    const { promise: lost, resolve: lose } = Promise.withResolvers<string>();
    // Stays for as long as the client: an error without a listener is an uncaught exception.
    client.on('error', (error) => lose(errorMessage(error)));
    client.on('end', () => lose('the connection was closed'));
    client.on('notification', ({ channel, payload }) => told('onNotify', () => deps.onNotify(channel, payload ?? '')));
    const stopping = whenAborted(stopped.signal);
    try {
      const refusal = await Promise.race([begin(client), stopping.then(() => null)]);
      if (stopped.signal.aborted) return;
      if (refusal) {
        stopped.abort();
        return told('onRefused', () => deps.onRefused?.(refusal));
      }
      isConnected = true;
      told('onListening', deps.onListening);
      ready.resolve();
      const why = await Promise.race([lost, stopping]);
      if (!stopped.signal.aborted) log.warn({ error: why }, 'the connection that listens was lost');
    } finally {
      await hangUp(client);
    }
  }

  async function begin(client: pg.Client): Promise<EngramdError | null> {
    await client.connect();
    const refusal = (await deps.admit?.(queryableOf(client))) ?? null;
    if (refusal) return refusal;
    const listens = deps.channels.map((channel) => `listen ${client.escapeIdentifier(channel)}`);
    // A server may end sessions that ask nothing, which is all that this one does.
    await client.query(['set idle_session_timeout = 0', ...listens].join('; '));
    return null;
  }

  function told(what: string, tell: () => void): void {
    try {
      tell();
    } catch (thrown) {
      log.error({ error: errorMessage(thrown), what }, 'a notification was not taken');
    }
  }

  async function hangUp(client: pg.Client): Promise<void> {
    const over = new AbortController();
    const goodbye = client.end().catch(() => undefined);
    await Promise.race([goodbye, clock.sleep(goodbyeMs, over.signal)]);
    over.abort();
  }

  const listening = keepListening();
  return {
    ready: ready.promise,
    isConnected: () => isConnected,
    async stop() {
      stopped.abort();
      await listening;
    },
  };
}

function queryableOf(client: pg.Client): Queryable {
  return {
    async query<Row>(text: string, values?: readonly unknown[]) {
      const { rows, rowCount } = await client.query(text, values as unknown[] | undefined);
      return { rows: rows as Row[], rowCount: rowCount ?? 0 };
    },
  };
}

function whenAborted(signal: AbortSignal): Promise<string> {
  if (signal.aborted) return Promise.resolve('stopped');
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve('stopped'), { once: true }));
}
