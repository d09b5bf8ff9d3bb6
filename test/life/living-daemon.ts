import { join } from 'node:path';
import { callControl } from '../../src/daemon/control/control-client.ts';
import type { ControlReply, ControlRequest } from '../../src/daemon/control/protocol.ts';
import { type Ended, engramd, type RunningDaemon, startDaemon } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

export type LifeStatus = NonNullable<ControlReply<'status'>['status']['life']>;

/** A real daemon with a life short enough for a test, and what a person would ask of it. */
export interface LivingDaemon extends RunningDaemon {
  readonly dataDir: string;
  readonly socket: string;
  /** As `status` tells it, which is no activity: from memory, or read anew unless it is parked. */
  life(fresh?: boolean): Promise<LifeStatus>;
  control<R extends ControlRequest>(request: R): Promise<ControlReply<R['type']>>;
  /** Asks for its life until it is so. */
  until(what: string, isSo: (life: LifeStatus) => boolean, timeoutMs?: number): Promise<LifeStatus>;
  /** The transitions that it carried out so far, as logged: `wake → drowsy (idle)`. */
  transitions(): string[];
  /** A command of the real binary against it. */
  command(...args: string[]): Promise<Ended>;
  stop(): Promise<Ended>;
}

/** The shortest there is: drowsy after a second, asleep after two, parked after three. */
export const shortLife = { ENGRAMD_DROWSY_AFTER: '1s', ENGRAMD_SLEEP_AFTER: '2s', ENGRAMD_HIBERNATE_AFTER: '3s' };

const started: LivingDaemon[] = [];
const folders: string[] = [];

export function scratch(): string {
  const folder = createScratchFolder();
  folders.push(folder);
  return folder;
}

export async function startLiving(
  env: Readonly<Record<string, string>>,
  options: { readonly dataDir?: string } = {},
): Promise<LivingDaemon> {
  const dataDir = options.dataDir ?? scratch();
  const running = await startDaemon(dataDir, env);
  const socket = join(dataDir, 'engramd.sock');
  const control: LivingDaemon['control'] = async (request) => {
    const reply = await callControl(socket, request, { timeoutMs: 10_000 });
    if (!reply) throw new Error(`nobody listens on ${socket}: ${running.output().stderr}`);
    return reply;
  };
  const life = async (fresh = false) => {
    const { status } = await control({ type: 'status', fresh });
    if (!status.life) throw new Error('a daemon has a life');
    return status.life;
  };
  const daemon: LivingDaemon = {
    ...running,
    dataDir,
    socket,
    life,
    control,
    async until(what, isSo, timeoutMs = 30_000) {
      const endMs = performance.now() + timeoutMs;
      for (;;) {
        const now = await life(true);
        if (isSo(now)) return now;
        if (performance.now() > endMs) {
          throw new Error(`not ${what} in time: ${JSON.stringify(now, null, 1)}\n${running.output().stderr}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    transitions: () => transitionsIn(running.output().stderr),
    command: (...args) => engramd([...args, '--data-dir', dataDir], env),
    async stop() {
      running.child.kill('SIGTERM');
      return running.ended;
    },
  };
  started.push(daemon);
  return daemon;
}

/** Ends what a test left, whatever it was at. */
export async function endAll(): Promise<void> {
  for (const { child, ended } of started.splice(0)) {
    child.kill('SIGKILL');
    await ended;
  }
  for (const folder of folders.splice(0)) removeScratchFolder(folder);
}

function transitionsIn(log: string): string[] {
  return log.split('\n').flatMap((line) => {
    if (!line.includes('life: a transition')) return [];
    const { from, to, reason } = JSON.parse(line) as { from: string; to: string; reason: string };
    return [`${from} → ${to} (${reason})`];
  });
}
