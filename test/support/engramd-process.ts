import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type DaemonFile, readDaemonFile } from '../../src/daemon/daemon-file.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** Shared by all of them: half of what a command takes is reading four hundred files of TypeScript. */
const compileCache = fileURLToPath(new URL('../../node_modules/.cache/engramd-test', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface EngramdProcess {
  readonly child: ChildProcess;
  /** What was written so far. */
  output(): { stdout: string; stderr: string };
  /** Resolves when the process has ended and its output is complete. */
  readonly ended: Promise<Ended>;
}

type Env = Readonly<Record<string, string>>;

/** The real binary, with nothing of this machine's settings but what the test gives. */
export function spawnEngramd(args: readonly string[], env: Env = {}, entry = main): EngramdProcess {
  const { PATH = '', HOME = '', TMPDIR } = process.env;
  const child = spawn(process.execPath, [entry, ...args], {
    env: { PATH, HOME, NODE_COMPILE_CACHE: compileCache, ...(TMPDIR !== undefined && { TMPDIR }), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const written = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    written.stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    written.stderr += text;
  });
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...written }));
  return { child, output: () => ({ ...written }), ended };
}

/** Runs a command to its end. `stdin` is what it is given there. */
export async function engramd(args: readonly string[], env: Env = {}, stdin = ''): Promise<Ended> {
  const { child, ended } = spawnEngramd(args, env);
  child.stdin?.end(stdin);
  return ended;
}

export interface RunningDaemon extends EngramdProcess {
  readonly file: DaemonFile;
}

/** Starts `engramd run` on any free port and waits until it says where it listens. */
export async function startDaemon(
  dataDir: string,
  env: Env = {},
  args: readonly string[] = [],
  entry = main,
): Promise<RunningDaemon> {
  const process = spawnEngramd(['run', '--data-dir', dataDir, '--http-port', '0', ...args], env, entry);
  let isOver = false;
  void process.ended.then(() => {
    isOver = true;
  });
  for (;;) {
    const file = readDaemonFile(dataDir);
    // A killed daemon leaves its file behind.
    if (file && file.pid === process.child.pid) return { ...process, file };
    if (isOver) throw new Error(`the daemon did not start: ${process.output().stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
