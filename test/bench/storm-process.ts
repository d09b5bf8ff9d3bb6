import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { killLogPath, readKillLog } from '../../src/daemon/watchdog/kill-log.ts';
import type { StormMessage, StormOrder, StormSettings } from './storm-messages.ts';

const entry = fileURLToPath(new URL('./storm-daemon.ts', import.meta.url));

type Of<Kind extends StormMessage['kind']> = Extract<StormMessage, { kind: Kind }>;

/** A daemon of the bench in a process of its own, with a watchdog that may kill it. */
export interface StormDaemon {
  readonly url: string;
  readonly socket: string;
  /** Asks for neighbour lists, so many times at once. Null: it was killed meanwhile. */
  build(callers: number): Promise<Of<'built'> | null>;
  /** Null: it was killed. */
  stop(): Promise<Of<'stopped'> | null>;
  /** Of its watchdog, and whatever else ended it. */
  kills(): number;
  /** Whether or not it has stopped: its process and its folder. */
  remove(): void;
}

export async function startStormDaemon(settings: Omit<StormSettings, 'dataDir'>): Promise<StormDaemon> {
  const dataDir = mkdtempSync(join(tmpdir(), 'engramd-storm-'));
  chmodSync(dataDir, 0o711);
  const child = fork(entry, [JSON.stringify({ ...settings, dataDir })], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  let wasStopped = false;
  let wasKilled = false;
  const ended = once(child, 'exit').then(() => {
    wasKilled = !wasStopped;
    return null;
  });
  async function next<Kind extends StormMessage['kind']>(kind: Kind): Promise<Of<Kind> | null> {
    for (;;) {
      const heard = await Promise.race([once(child, 'message') as Promise<[StormMessage]>, ended]);
      if (heard === null) return null;
      const [message] = heard;
      if (message.kind === kind) return message as Of<Kind>;
      if (message.kind === 'failed') throw new Error(`a daemon of the bench failed: ${message.error}`);
    }
  }
  function ask<Kind extends StormMessage['kind']>(order: StormOrder, kind: Kind): Promise<Of<Kind> | null> {
    const answer = next(kind);
    if (child.connected) child.send(order);
    return answer;
  }
  const ready = await next('ready');
  if (!ready) throw new Error('a daemon of the bench did not start');
  return {
    url: ready.url,
    socket: ready.socket,
    build: (callers) => ask({ kind: 'build', callers }, 'built'),
    async stop() {
      wasStopped = !wasKilled;
      const stopped = await ask({ kind: 'stop' }, 'stopped');
      await ended;
      return stopped;
    },
    kills: () => Math.max(Number(wasKilled), readKillLog(killLogPath(dataDir)).length),
    remove() {
      child.kill('SIGKILL');
      rmSync(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    },
  };
}
