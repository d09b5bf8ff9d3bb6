import { connect } from 'node:net';

export interface ProbeResult {
  readonly outcome: 'good' | 'missed';
  /** Of a miss: what went wrong. */
  readonly why: string;
  /** There is nobody on the path, which says nothing about the daemon: somebody may have removed the socket's file. */
  readonly isGone: boolean;
  readonly tookMs: number;
}

/** Of the control plane: no activity, and answered from memory whatever the database does. */
const question = `${JSON.stringify({ type: 'status' })}\n`;
const maxReplyBytes = 2 ** 20;

/**
 * Asks for the status as any client would: a new connection, one line, and an answer that says `ok`. A good answer is
 * worth more than a counter that a half-dead loop still moves.
 */
export function probe(socketPath: string, timeoutMs: number): Promise<ProbeResult> {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = (why: string | null, isGone = false) => {
      clearTimeout(timer);
      socket.destroy();
      const outcome = why === null ? 'good' : 'missed';
      resolve({ outcome, why: why ?? '', isGone, tookMs: performance.now() - startedMs });
    };
    const timer = setTimeout(() => end('no answer'), timeoutMs);
    let reply = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.write(question));
    socket.on('data', (text: string) => {
      reply += text;
      const newline = reply.indexOf('\n');
      if (newline >= 0) end(isOk(reply.slice(0, newline)) ? null : 'a wrong answer');
      else if (reply.length > maxReplyBytes) end('an answer without an end');
    });
    socket.on('close', () => end('closed without an answer'));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end(`cannot connect: ${error.message}`, error.code === 'ENOENT' || error.code === 'ECONNREFUSED'),
    );
  });
}

function isOk(line: string): boolean {
  try {
    return JSON.parse(line)?.ok === true;
  } catch {
    return false;
  }
}
