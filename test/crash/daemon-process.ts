import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { DaemonOrder, DyingDaemonSettings, Trap } from './daemon-orders.ts';

const entry = new URL('./dying-daemon.ts', import.meta.url).pathname;
export const compileCache = new URL('../../node_modules/.cache/engramd-test', import.meta.url).pathname;

/** What the daemon said: a line of its log, or one of the entry's own. */
export interface DaemonLine {
  readonly msg: string;
  readonly [detail: string]: unknown;
}

export interface DaemonExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A daemon in a process of its own. */
export interface DaemonProcess {
  readonly pid: number;
  /** Everything it has said so far. */
  readonly lines: readonly DaemonLine[];
  /** Resolves with the exit; never rejects. */
  readonly exited: Promise<DaemonExit>;
  readonly hasExited: () => boolean;
  /** The first line of this message, said before or after the call. Rejects where the daemon ends without it. */
  said(msg: string, times?: number): Promise<DaemonLine>;
  /** Resolves once the trap is in force. */
  set(trap: Trap): Promise<void>;
  release(): void;
  kill(signal: NodeJS.Signals): void;
}

/** All that the daemon is told: nothing of the environment of the tests reaches it. */
export interface DaemonEnvironment {
  readonly dataDir: string;
  /** Absent: the embedded database under the data directory. */
  readonly databaseUrl?: string;
  /** Further settings, by their variables. */
  readonly variables?: Readonly<Record<string, string>>;
}

const running = new Set<ChildProcess>();

export function startDaemon(environment: DaemonEnvironment, settings: DyingDaemonSettings = {}): DaemonProcess {
  const { dataDir, databaseUrl, variables } = environment;
  const child = fork(entry, [JSON.stringify(settings)], {
    execArgv: [],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: compileCache,
      ENGRAMD_DATA_DIR: dataDir,
      ENGRAMD_HTTP_PORT: '0',
      ENGRAMD_DB_POOL_MAX: '4',
      ...(databaseUrl !== undefined && { DATABASE_URL: databaseUrl }),
      ...variables,
    },
  });
  running.add(child);
  const lines: DaemonLine[] = [];
  const listeners = new Set<() => void>();
  const notify = () => {
    for (const listener of listeners) listener();
  };
  let exit: DaemonExit | undefined;
  if (!child.stdout) throw new Error('the daemon has no stdout');
  const output = createInterface({ input: child.stdout });
  output.on('line', (text) => {
    lines.push(JSON.parse(text));
    notify();
  });
  // Not before the last line is read: what it said on its way out counts.
  const exited = Promise.all([once(child, 'exit'), once(output, 'close')]).then(([[code, signal]]): DaemonExit => {
    running.delete(child);
    exit = { code, signal };
    notify();
    return exit;
  });
  const send = (order: DaemonOrder) => void child.send(order);
  let trapsSet = 0;

  function said(msg: string, times = 1): Promise<DaemonLine> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = lines.filter((line) => line.msg === msg)[times - 1];
        if (found) resolve(found);
        else if (exit) reject(new Error(`the daemon ended (${exit.code ?? exit.signal}) without "${msg}":\n${told()}`));
        else return;
        listeners.delete(look);
      };
      listeners.add(look);
      look();
    });
  }

  function told(): string {
    return lines.map((line) => JSON.stringify(line)).join('\n');
  }

  return {
    pid: child.pid ?? 0,
    lines,
    exited,
    hasExited: () => exit !== undefined,
    said,
    async set(trap) {
      send({ kind: 'set', trap });
      trapsSet += 1;
      await said('trap set', trapsSet);
    },
    release: () => send({ kind: 'release' }),
    kill: (signal) => void child.kill(signal),
  };
}

/** Ends whatever a test left running. */
export async function killDaemons(): Promise<void> {
  await Promise.all(
    [...running].map(async (child) => {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }),
  );
}

/** Where a daemon answers, once it does. */
export async function urlOf(daemon: DaemonProcess): Promise<string> {
  const { url } = await daemon.said('ready');
  return String(url);
}
