import type { Clock } from '../telemetry/clock.ts';
import { call } from './api-client.ts';
import type { EventPage, TimelineEvent } from './api-types.ts';
import { ApiError, DaemonUnreachableError } from './cli-errors.ts';
import type { DaemonTransport } from './http-transport.ts';
import { bankPath, query } from './options.ts';

export interface FollowOptions {
  readonly bank: string;
  readonly kind: string | undefined;
  /** Events told before what comes. */
  readonly limit: number;
  /** Undefined: nobody answers. */
  readonly find: () => Promise<DaemonTransport | undefined>;
  readonly onEvent: (event: TimelineEvent) => void;
  /** The daemon went, and came again; the store was restored. */
  readonly onNote: (note: string) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const lookAgainMs = 1000;

/**
 * Tells the last events, oldest first, and then each as it comes, once, until the signal. Where the daemon goes it waits
 * for the next one and reads on from where it stood; after a restore from then on, since all of it came in anew.
 *
 * @throws what the daemon refuses: a bank that is not there, a token
 */
export async function followTimeline(first: DaemonTransport, options: FollowOptions): Promise<void> {
  const { bank, kind, limit, onEvent, onNote, clock, signal } = options;
  const lastEvents = (from: DaemonTransport, limit: number) =>
    call<EventPage>(from, { method: 'GET', path: bankPath(bank, `/events${query({ kind, limit })}`) });
  const recent = await lastEvents(first, limit);
  // What was not settled yet comes again.
  const told = new Set(recent.events.map((event) => event.cursor));
  for (const event of recent.events.toReversed()) onEvent(event);
  let after: string | null = recent.after_cursor;
  let daemon: DaemonTransport | undefined = first;
  for (;;) {
    if (daemon) {
      try {
        if (after === null) {
          after = (await lastEvents(daemon, 1)).after_cursor;
          onNote('the store was restored since; this goes on from now');
        }
        for await (const line of daemon.lines(bankPath(bank, `/events/stream${query({ kind, after })}`))) {
          const event = JSON.parse(line) as TimelineEvent;
          after = event.cursor;
          if (!told.delete(event.cursor)) onEvent(event);
        }
      } catch (thrown) {
        if (signal.aborted) return;
        if (isOfOtherStore(thrown)) {
          after = null;
          continue;
        }
        if (!isPassing(thrown)) throw thrown;
      }
      if (signal.aborted) return;
      onNote('the daemon has gone; waiting for it');
    }
    daemon = undefined;
    while (!daemon) {
      await clock.sleep(lookAgainMs, signal);
      if (signal.aborted) return;
      daemon = await options.find().catch(() => undefined);
    }
    onNote('the daemon answers again');
  }
}

/** Gone, or on its way in or out. */
function isPassing(thrown: unknown): boolean {
  return thrown instanceof DaemonUnreachableError || (thrown instanceof ApiError && thrown.status === 503);
}

/** It knew the place that it is refused. */
function isOfOtherStore(thrown: unknown): boolean {
  return thrown instanceof ApiError && thrown.status === 422 && thrown.details.some(({ path }) => path === 'after');
}
