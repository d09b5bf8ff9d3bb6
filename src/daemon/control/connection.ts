import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import { type AnswerDeps, askedBy } from './answer-line.ts';
import { createLineSplitter, LineTooLongError } from './line-splitter.ts';
import { controlError, maxLineBytes } from './protocol.ts';

/** One client. Being connected is nothing: only what it asks for counts (law L11). */
export interface Connection {
  /** Takes no more lines, and closes once what was asked is answered. */
  finish(): void;
  destroy(): void;
}

/** Requests of one client that are being answered; more stay in the socket. */
const maxInHand = 64;
/** How long a client that was told to stop may go on sending before it is cut off. */
const discardMs = 500;

export function serveConnection(socket: Socket, deps: AnswerDeps): Connection {
  const { log, clock } = deps;
  const gone = new AbortController();
  // Each call in hand listens; ten is no leak here.
  setMaxListeners(0, gone.signal);
  /** What has no id to be found by is answered in the order of the lines, and done in it: a pause, then a resume. */
  let inOrder = Promise.resolve();
  let inHand = 0;
  let isFinishing = false;
  const waiting = new Set<() => void>();

  function moved(): void {
    for (const wake of waiting) wake();
    waiting.clear();
  }
  async function until(isSo: () => boolean): Promise<void> {
    while (!gone.signal.aborted && !isSo()) await new Promise<void>((resolve) => waiting.add(resolve));
  }

  function send(reply: object): void {
    inHand -= 1;
    if (socket.writable) socket.write(`${JSON.stringify(reply)}\n`);
    moved();
  }

  function take(line: Buffer): void {
    inHand += 1;
    const asked = askedBy(line, gone.signal, deps);
    if (asked.kind === 'call') void asked.reply.then(send);
    else inOrder = inOrder.then(asked.answer).then(send);
  }

  async function read(): Promise<void> {
    const lines = createLineSplitter(maxLineBytes);
    // The iterator would destroy the socket at its end, with the answers of a client that has said all it wanted.
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      for (const line of lines.push(chunk)) {
        if (isFinishing) return;
        take(line);
        // A client that does not read its answers is not read either.
        await until(() => isFinishing || (inHand < maxInHand && !socket.writableNeedDrain));
      }
      if (isFinishing) return;
    }
  }

  async function refuse(): Promise<void> {
    const mib = maxLineBytes / 1024 ** 2;
    const why = controlError('LINE_TOO_LONG', `a line of more than ${mib} MiB: the connection is closed`);
    socket.end(`${JSON.stringify(why)}\n`);
    // What still comes is thrown away for a moment: closed with something unread, the client might lose the answer.
    setImmediate(() => socket.resume());
    await clock.sleep(discardMs, gone.signal);
    socket.destroy();
  }

  async function serve(): Promise<void> {
    try {
      await read();
    } catch (thrown) {
      if (thrown instanceof LineTooLongError) return refuse();
      log.debug({ error: errorMessage(thrown) }, 'a control connection broke');
    }
    await until(() => inHand === 0);
    socket.end();
    setImmediate(() => socket.resume());
  }

  socket.on('drain', moved);
  socket.on('error', (error) => log.debug({ error: errorMessage(error) }, 'a control connection broke'));
  socket.on('close', () => {
    gone.abort(new Error('the client went away'));
    moved();
  });
  void serve();

  return {
    finish() {
      isFinishing = true;
      moved();
      // Between two lines the reader waits for the next one, which will not be taken.
      void until(() => inHand === 0).then(() => socket.end(() => socket.destroy()));
    },
    destroy: () => void socket.destroy(),
  };
}
