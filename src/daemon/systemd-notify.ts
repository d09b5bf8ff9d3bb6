import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';

/** What systemd is told of this process (`Type=notify`). Nothing where nobody has asked for it. */
export interface SystemdNotify {
  /** Started. Resolves when systemd has heard of it, or never will. */
  ready(status: string): Promise<void>;
  /** A line for `systemctl status`: only a new one, and the newest of ten seconds. */
  status(text: string): void;
  /** The stop begins. Resolves as `ready` does. */
  stopping(): Promise<void>;
  /** For the watchdog, which says WATCHDOG=1 itself: how often, and by which program. Null: nobody wants to hear it. */
  readonly watchdog: { readonly intervalMs: number; readonly command: string } | null;
}

type Spawn = (command: string, args: readonly string[]) => Promise<void>;

const statusEveryMs = 10_000;
const maxStatusChars = 200;
const name = 'systemd-notify';

/**
 * Node has no datagram sockets of this kind, so the messages are those of systemd's own program. Without `--no-block`: it
 * returns when systemd has read the message, and may not be gone before that.
 *
 * @param deps.folders where the program is looked for before PATH.
 */
export function createSystemdNotify(deps: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
  readonly spawn?: Spawn;
  readonly folders?: readonly string[];
}): SystemdNotify {
  const { env, clock, log, folders = ['/usr/bin', '/bin'] } = deps;
  if (!env.NOTIFY_SOCKET) return silent;
  const spawn = deps.spawn ?? spawnWith({ NOTIFY_SOCKET: env.NOTIFY_SOCKET });
  const found = findProgram([...folders, ...(env.PATH ?? '').split(delimiter)]);
  if (found === undefined) {
    log.warn(`NOTIFY_SOCKET is set and there is no ${name}: systemd will not hear that this daemon is ready`);
    return silent;
  }
  const command = found;
  const stopped = new AbortController();
  let sending = Promise.resolve();
  let hasWarned = false;
  let told = '';
  let wanted: string | null = null;
  let toldAtMs = Number.NEGATIVE_INFINITY;

  /** One behind the other: systemd shows what it hears last. */
  function send(...args: readonly string[]): Promise<void> {
    sending = sending
      .then(() => spawn(command, args))
      .catch((thrown: unknown) => {
        if (!hasWarned) log.warn({ error: errorMessage(thrown) }, 'systemd could not be told; this is said once');
        hasWarned = true;
      });
    return sending;
  }

  function tell(text: string, ...before: readonly string[]): Promise<void> {
    told = text;
    toldAtMs = clock.monotonicMs();
    return send(...before, `STATUS=${text}`);
  }

  async function tellLater(): Promise<void> {
    await clock.sleep(Math.max(0, toldAtMs + statusEveryMs - clock.monotonicMs()), stopped.signal);
    const text = wanted;
    wanted = null;
    if (text !== null && text !== told && !stopped.signal.aborted) await tell(text);
  }

  return {
    ready: (text) => tell(oneLine(text), 'READY=1'),
    status(text) {
      const isWaiting = wanted !== null;
      if (stopped.signal.aborted || (!isWaiting && oneLine(text) === told)) return;
      wanted = oneLine(text);
      if (!isWaiting) void tellLater();
    },
    stopping() {
      stopped.abort();
      return send('STOPPING=1');
    },
    watchdog: watchdogOf(env, command),
  };
}

const silent: SystemdNotify = {
  ready: () => Promise.resolve(),
  status: () => undefined,
  stopping: () => Promise.resolve(),
  watchdog: null,
};

/** Half of what systemd waits for, so that one that is late or lost does no harm. */
function watchdogOf(env: Readonly<Record<string, string | undefined>>, command: string): SystemdNotify['watchdog'] {
  const limitUs = Number(env.WATCHDOG_USEC);
  if (!Number.isSafeInteger(limitUs) || limitUs <= 0) return null;
  // Inherited from a service that started us as its child: it is not we who are watched.
  if (env.WATCHDOG_PID !== undefined && Number(env.WATCHDOG_PID) !== process.pid) return null;
  return { intervalMs: limitUs / 2000, command };
}

/** A line break would begin a message of its own. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').slice(0, maxStatusChars);
}

function findProgram(folders: readonly string[]): string | undefined {
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** It is given the address, and none of our secrets. */
function spawnWith(env: Readonly<Record<string, string>>): Spawn {
  return (command, args) =>
    new Promise((resolve, reject) => {
      execFile(command, args, { env, timeout: 5000 }, (error) => (error ? reject(error) : resolve()));
    });
}
