import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { type EmbeddedLayout, embeddedLayout } from '../../src/db/embedded/layout.ts';
import { findPostmaster, stopPostmaster } from '../../src/db/embedded/postmaster.ts';
import type { EmbeddedPostgresOptions } from '../../src/db/embedded/start-context.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import type { SupervisorMessage } from './embedded-supervisor.ts';
import { createScratchFolder, removeScratchFolder } from './scratch-folder.ts';

const supervisor = new URL('./embedded-supervisor.ts', import.meta.url).pathname;

/** A data directory of a test, and all that runs in it. */
export interface EmbeddedSandbox {
  readonly dataDir: string;
  readonly layout: EmbeddedLayout;
  /** Without fsync unless `extraSettings` says otherwise: it survives SIGKILL all the same, and initdb takes a third. */
  start(options?: Partial<EmbeddedPostgresOptions>): Promise<EmbeddedPostgres>;
  /** A supervisor in a process of its own, which may be killed. */
  spawn(options?: { uid?: number; gid?: number }): ChildProcess;
  /** Ends whatever still runs here and removes it all. */
  remove(): Promise<void>;
}

export function createEmbeddedSandbox(): EmbeddedSandbox {
  const dataDir = createScratchFolder();
  const layout = embeddedLayout(dataDir);
  const children: ChildProcess[] = [];
  return {
    dataDir,
    layout,
    start: (options = {}) =>
      startEmbeddedPostgres({
        dataDir,
        log: silentLog,
        clock: systemClock,
        extraSettings: { fsync: 'off' },
        ...options,
      }),
    spawn(options = {}) {
      const child = fork(supervisor, [dataDir], { execArgv: [], stdio: 'inherit', ...options });
      children.push(child);
      return child;
    },
    async remove() {
      for (const child of children) child.kill('SIGKILL');
      const found = findPostmaster(layout.data);
      if (found.kind === 'ours') await stopPostmaster(found.process, { clock: systemClock, log: silentLog });
      removeScratchFolder(dataDir);
    },
  };
}

/** The first message of a spawned supervisor. */
export async function firstMessage(child: ChildProcess): Promise<SupervisorMessage> {
  const [message] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code, signal]) => {
      throw new Error(`the supervisor ended (${code ?? signal}) without a word`);
    }),
  ])) as [SupervisorMessage];
  return message;
}

export async function killed(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** One query on one connection. */
export async function ask<Row extends pg.QueryResultRow>(connectionString: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}
