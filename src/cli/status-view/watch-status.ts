import type { Clock } from '../../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';
import type { Status } from '../api-types.ts';
import type { Terminal } from '../terminal.ts';
import { changesBetween } from './changes.ts';
import { openLiveScreen, type ScreenStream } from './live-screen.ts';
import { watchFrame } from './watch-frame.ts';

interface WatchOptions {
  /** Undefined: no daemon answers. */
  readonly ask: () => Promise<Status | undefined>;
  readonly terminal: Terminal;
  readonly stdout: ScreenStream;
  /** Asked with each look: whoever reads a pipe may go without a word. */
  readonly hasReader: () => boolean;
  /** A terminal that can be drawn on. */
  readonly isOnScreen: boolean;
  /** A document for each change, one a line; an error where nobody answers any more. */
  readonly asJson: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const everyMs = 1000;
/** A second is soon over; a day of them is a lot of lines. */
const keptChanges = 50;

/** Why a question was not answered. */
interface Silence {
  readonly code: string;
  readonly message: string;
}

const noDaemon: Silence = { code: 'DAEMON_UNREACHABLE', message: 'no daemon answers; engramd run starts one' };

interface Look {
  readonly status: Status;
  readonly silence: Silence | null;
  readonly changes: readonly string[];
}

/** Looks once a second until the signal, or until nobody reads: a view on a terminal, elsewhere a line for each change. */
export async function watchStatus(options: WatchOptions, first: Status): Promise<void> {
  const { terminal, stdout, isOnScreen, asJson, clock } = options;
  if (isOnScreen && !asJson) return watchOnScreen(options, first);
  for await (const { status, silence, changes } of looks(options, first)) {
    if (asJson && changes.length > 0)
      stdout.write(`${JSON.stringify(silence === null ? status : { error: silence })}\n`);
    if (asJson) continue;
    for (const change of changes) terminal.out(`${clock.now().toISOString()} ${change}`);
  }
}

async function watchOnScreen(options: WatchOptions, first: Status): Promise<void> {
  const { terminal: paint, clock } = options;
  const screen = openLiveScreen(options.stdout);
  const recent: { at: Date; text: string }[] = [];
  try {
    for await (const { status, silence, changes } of looks(options, first)) {
      const now = clock.now();
      recent.push(...changes.map((text) => ({ at: now, text })));
      recent.splice(0, recent.length - keptChanges);
      const { columns, rows } = screen;
      screen.draw(watchFrame({ status, silence: silence?.message ?? null, recent, now, columns, rows, paint }));
    }
  } finally {
    screen.close();
  }
}

async function* looks({ ask, stdout, hasReader, clock, signal }: WatchOptions, first: Status): AsyncGenerator<Look> {
  const closed = new AbortController();
  const onClose = () => closed.abort();
  stdout.once('close', onClose);
  const over = AbortSignal.any([signal, closed.signal]);
  let status = first;
  let silence: Silence | null = null;
  try {
    yield { status, silence, changes: changesBetween(undefined, status) };
    for (;;) {
      await clock.sleep(everyMs, over);
      if (over.aborted || !hasReader()) return;
      const before: { status: Status; silence: Silence | null } = { status, silence };
      try {
        const answer = await ask();
        silence = answer ? null : noDaemon;
        status = answer ?? status;
      } catch (thrown) {
        if (over.aborted) return;
        silence = { code: thrown instanceof EngramdError ? thrown.code : 'UNEXPECTED', message: errorMessage(thrown) };
      }
      const changes = silence === null ? changesBetween(before.status, status) : [];
      if (silence?.message !== before.silence?.message) changes.unshift(silence?.message ?? 'the daemon answers again');
      yield { status, silence, changes };
    }
  } finally {
    stdout.off('close', onClose);
  }
}
