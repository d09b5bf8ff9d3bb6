import { errorMessage } from '../telemetry/engramd-error.ts';
import { type ComposeOptions, compose } from './compose.ts';
import { takeInheritedSockets } from './control/inherited-sockets.ts';
import { stopDeadlineMs } from './stop-bounds.ts';
import { createSystemdNotify } from './systemd-notify.ts';

interface Ending {
  readonly reason: string;
  readonly exitCode: number;
}

/** The signals that ask for an ordered stop. SIGHUP is a closed terminal, where nobody can press Ctrl-C any more. */
const stopSignals = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/**
 * The foreground daemon: starts everything, waits for a reason to end, stops everything in order, and returns the exit
 * code. Takes over the signals of the process; a second signal does not wait for the stop.
 *
 * @throws whatever kept it from starting, after what had been started was stopped again
 */
export async function runDaemon(
  options: Omit<ComposeOptions, 'mode' | 'signal' | 'onFatal' | 'onHibernated' | 'inherited' | 'notify'>,
): Promise<number> {
  const { log } = options;
  const notify = createSystemdNotify({ env: process.env, clock: options.clock, log });
  const ending = Promise.withResolvers<Ending>();
  const startAborted = new AbortController();
  let isEnding = false;

  function end(next: Ending): void {
    isEnding = true;
    ending.resolve(next);
    startAborted.abort(new Error(next.reason));
  }

  for (const [signal, number] of Object.entries(stopSignals)) {
    process.on(signal, () => {
      if (isEnding) {
        log.warn({ signal }, 'second signal: exiting at once');
        process.exit(128 + number);
      }
      log.info({ signal }, 'stopping');
      end({ reason: signal, exitCode: 0 });
    });
  }
  process.on('uncaughtException', (error, origin) => {
    log.fatal(
      { error: errorMessage(error), origin, stack: error instanceof Error ? error.stack : undefined },
      'a bug: stopping',
    );
    end({ reason: `${origin}: ${errorMessage(error)}`, exitCode: 1 });
  });

  let daemon: Awaited<ReturnType<typeof compose>>;
  try {
    daemon = await compose({
      ...options,
      mode: 'daemon',
      inherited: await takeInheritedSockets(process.env),
      notify,
      signal: startAborted.signal,
      onHibernated: () => end({ reason: 'hibernation: nobody is there, and nothing is due', exitCode: 0 }),
      onFatal: (error) => {
        log.fatal({ error: error.message }, 'cannot go on: stopping');
        end({ reason: error.message, exitCode: error.exitCode });
      },
    });
  } catch (thrown) {
    if (!startAborted.signal.aborted) throw thrown;
    // Asked to stop before it was up: what had been started is stopped already.
    const { reason, exitCode } = await ending.promise;
    log.info({ reason }, 'stopped before the start was complete');
    return exitCode;
  }

  const { reason, exitCode } = await ending.promise;
  await notify.stopping();
  // The steps have bounds of their own; this is for the one that blocks the event loop's queue of promises.
  const belt = setTimeout(() => {
    log.fatal({ reason, deadlineMs: stopDeadlineMs }, 'the stop took too long: exiting as it is');
    process.exit(1);
  }, stopDeadlineMs + 1000);
  try {
    await daemon.stop(reason);
    log.info({ reason, exitCode }, 'stopped');
    return exitCode;
  } catch (thrown) {
    log.error({ reason, error: errorMessage(thrown) }, 'stopped, but not everything in order');
    return 1;
  } finally {
    clearTimeout(belt);
  }
}
