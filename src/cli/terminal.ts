import type { Writable } from 'node:stream';
import { styleText } from 'node:util';

type Style = (text: string) => string;

/** Where a command's answer goes. stdout carries the answer and nothing else; all other talk is on stderr. */
export interface Terminal {
  /** Whether a person reads along: colours, tables cut to the width, progress. */
  readonly isInteractive: boolean;
  /** Columns of stdout; 100 where it is no terminal. */
  readonly width: number;
  out(line: string): void;
  note(line: string): void;
  /** One JSON value; indented for a person, one line for a program. */
  json(value: unknown): void;
  /** Replaces the last progress line; nothing where nobody watches. */
  progress(line: string): void;
  /** Takes the progress line away. */
  endProgress(): void;
  readonly bold: Style;
  readonly dim: Style;
  readonly red: Style;
  readonly green: Style;
  readonly yellow: Style;
  readonly cyan: Style;
}

interface Stream extends Writable {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export function createTerminal(
  stdout: Stream,
  stderr: Stream,
  env: Readonly<Record<string, string | undefined>>,
): Terminal {
  const isInteractive = stdout.isTTY === true;
  const isColoured = isInteractive && !env.NO_COLOR && env.TERM !== 'dumb';
  const style =
    (format: Parameters<typeof styleText>[0]): Style =>
    (text) =>
      isColoured ? styleText(format, text, { validateStream: false }) : text;
  let hasProgress = false;
  const eraseLine = '\r\u001b[2K';

  const terminal: Terminal = {
    isInteractive,
    width: stdout.columns ?? 100,
    out(line) {
      terminal.endProgress();
      stdout.write(`${line}\n`);
    },
    note(line) {
      terminal.endProgress();
      stderr.write(`${line}\n`);
    },
    json: (value) => terminal.out(JSON.stringify(value, null, isInteractive ? 2 : undefined)),
    progress(line) {
      if (stderr.isTTY !== true) return;
      hasProgress = true;
      stderr.write(`${eraseLine}${line.slice(0, (stderr.columns ?? 80) - 1)}`);
    },
    endProgress() {
      if (hasProgress) stderr.write(eraseLine);
      hasProgress = false;
    },
    bold: style('bold'),
    dim: style('dim'),
    red: style('red'),
    green: style('green'),
    yellow: style('yellow'),
    cyan: style('cyan'),
  };
  return terminal;
}
