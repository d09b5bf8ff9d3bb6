import type { Config } from '../config/schema.ts';
import { readDaemonFile } from '../daemon/daemon-file.ts';
import { DataDirInUseError } from '../daemon/instance-lock.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import { DaemonUnreachableError } from './cli-errors.ts';
import { findDaemon } from './http-transport.ts';
import { openLocalTransport } from './local-transport.ts';

export type Method = 'GET' | 'POST' | 'DELETE';

export interface ApiRequest {
  readonly method: Method;
  /** With its query, e.g. `/v1/banks?limit=10`. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ApiReply {
  readonly status: number;
  readonly body: unknown;
}

/** The way to the HTTP routes: a daemon's, or the same ones in this process. Commands cannot tell which. */
export interface Transport {
  readonly kind: 'daemon' | 'local';
  request(request: ApiRequest): Promise<ApiReply>;
  close(): Promise<void>;
}

export interface TransportOptions {
  readonly config: Config;
  /** Whether the command needs jobs to be worked off even where no daemon does. */
  readonly hasWorkers: boolean;
  readonly log: Log;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A daemon takes its lock seconds before it listens: the first start makes a cluster and loads nothing else. */
const daemonStartMs = 15_000;

/**
 * The daemon of the data directory if one answers, else this process.
 *
 * @throws DaemonUnreachableError where a daemon holds the data directory and does not answer
 */
export async function openTransport(options: TransportOptions): Promise<Transport> {
  const { config, clock, signal } = options;
  const startedMs = clock.monotonicMs();
  for (;;) {
    signal.throwIfAborted();
    const daemon = await findDaemon(options);
    if (daemon) return daemon;
    try {
      return await openLocalTransport(options);
    } catch (thrown) {
      if (!(thrown instanceof DataDirInUseError) || thrown.owner.role !== 'daemon') throw thrown;
      if (clock.monotonicMs() - startedMs >= daemonStartMs) {
        const url = readDaemonFile(config.dataDir)?.url ?? 'no address yet';
        throw new DaemonUnreachableError(
          `a daemon (pid ${thrown.owner.pid} on ${thrown.owner.host}) holds ${config.dataDir} and does not answer (${url})`,
          { cause: thrown },
        );
      }
    }
    await clock.sleep(200, signal);
  }
}
