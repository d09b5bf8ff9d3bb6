import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Of seconds made tenths; late is what no busy machine makes of them. */
export const watchedTimings = { awakeMs: 60, timeoutMs: 200, lateMs: 600, stackMs: 3000 };

const program = fileURLToPath(new URL('./workers/watched.ts', import.meta.url));

export interface Watched {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly signal: NodeJS.Signals | null; readonly code: number | null }>;
  /** As far as it was read. */
  stderr(): string;
  tell(command: 'spin' | 'read' | 'leave'): void;
  view(): Promise<{ needsOperator: string | null; gauge: number; probes: { good: number; missed: number } }>;
  /** Resolves when it was probed that often. */
  probed(times: number): Promise<void>;
}

export interface WatchedOptions {
  readonly folder: string;
  readonly instanceId: string;
  readonly answerAfterMs?: number;
  readonly timeoutMs?: number;
  /** The socket's file is not made again: its folder is not this user's, or it was systemd who made it. */
  readonly cannotListenAgain?: boolean;
  /** The kernel does not let it kill itself. */
  readonly isSpared?: boolean;
}

export function startWatched(options: WatchedOptions): Watched {
  const child = fork(program, [JSON.stringify(options)], {
    stdio: ['pipe', 'ignore', 'pipe', 'ipc'],
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  async function view() {
    child.send('view');
    const [answer] = await once(child, 'message');
    return answer;
  }
  return {
    child,
    ended,
    stderr: () => stderr,
    tell: (command) => void child.send(command),
    view,
    async probed(times) {
      while ((await view()).probes.good < times) await new Promise((resolve) => setTimeout(resolve, 20));
    },
  };
}
