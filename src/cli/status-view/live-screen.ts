import type { Writable } from 'node:stream';

export interface ScreenStream extends Writable {
  readonly columns?: number;
  readonly rows?: number;
}

/** A screen of its own beside what the terminal shows, which is as it was when this one closes. */
export interface LiveScreen {
  readonly columns: number;
  readonly rows: number;
  /** In place; nothing where it is the same as before. */
  draw(lines: readonly string[]): void;
  close(): void;
}

// A second screen, no cursor, no wrapping; and all of it back.
const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[H\u001b[2J';
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l';
// Between these a terminal shows nothing half-drawn; one that does not know them passes over them.
const beginFrame = '\u001b[?2026h\u001b[H';
const endFrame = '\u001b[J\u001b[?2026l';
const eraseRest = '\u001b[K';

export function openLiveScreen(stdout: ScreenStream): LiveScreen {
  let shown = '';
  let isOpen = true;
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    process.off('exit', close);
    stdout.off('resize', forget);
    stdout.write(leave);
  };
  const forget = () => {
    shown = '';
  };
  // A second Ctrl-C ends the process at once, and should not leave a terminal without a cursor.
  process.on('exit', close);
  stdout.on('resize', forget);
  stdout.write(enter);
  return {
    get columns() {
      return stdout.columns ?? 80;
    },
    get rows() {
      return stdout.rows ?? 24;
    },
    draw(lines) {
      const frame = lines.map((line) => `${line}${eraseRest}`).join('\r\n');
      // Each line over its old self, and no clearing before: that is what flickers.
      if (isOpen && frame !== shown) stdout.write(`${beginFrame}${frame}${endFrame}`);
      shown = frame;
    },
    close,
  };
}
