import type { Clock } from '../../telemetry/clock.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
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
  /** A terminal that can be drawn on. */
  readonly isOnScreen: boolean;
  /** A document for each change, one a line. */
  readonly asJson: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const everyMs = 1000;
/** A second is soon over; a day of them is a lot of lines. */
const keptChanges = 50;

interface Look {
  readonly status: Status | undefined;
  readonly silence: string | null;
  readonly changes: readonly string[];
}

/** Looks once a second until the signal: a view on a terminal, elsewhere a line for each change. */
export async function watchStatus(options: WatchOptions, first: Status): Promise<void> {
  const { terminal, stdout, isOnScreen, asJson, clock } = options;
  if (isOnScreen && !asJson) return watchOnScreen(options, first);
  for await (const { status, silence, changes } of looks(options, first)) {
    if (asJson && status && silence === null && changes.length > 0) stdout.write(`${JSON.stringify(status)}\n`);
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
      screen.draw(watchFrame({ status, silence, recent, now, columns, rows, paint }));
    }
  } finally {
    screen.close();
  }
}

async function* looks({ ask, clock, signal }: WatchOptions, first: Status): AsyncGenerator<Look> {
  let status = first;
  let silence: string | null = null;
  yield { status, silence, changes: changesBetween(undefined, status) };
  for (;;) {
    await clock.sleep(everyMs, signal);
    if (signal.aborted) return;
    const before: { status: Status; silence: string | null } = { status, silence };
    try {
      const answer = await ask();
      silence = answer ? null : 'no daemon answers; engramd run starts one';
      status = answer ?? status;
    } catch (thrown) {
      if (signal.aborted) return;
      silence = errorMessage(thrown);
    }
    const changes = silence === null ? changesBetween(before.status, status) : [];
    if (silence !== before.silence) changes.unshift(silence ?? 'the daemon answers again');
    yield { status, silence, changes };
  }
}
