import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { callControl } from '../../src/daemon/control/control-client.ts';
import type { ControlReply, ControlRequest } from '../../src/daemon/control/protocol.ts';
import { embeddedLayout } from '../../src/db/embedded/layout.ts';
import { findPostmaster } from '../../src/db/embedded/postmaster.ts';
import { startDaemon } from '../support/engramd-process.ts';

type LifeStatus = NonNullable<ControlReply<'status'>['status']['life']>;

/** A daemon of production on its embedded server, whose every statement is logged. */
export interface IdleDaemon {
  readonly url: string;
  readonly pid: number;
  readonly serverPid: number;
  readonly socket: string;
  life(): Promise<LifeStatus>;
  control(request: ControlRequest): Promise<ControlReply>;
  /** Waits until it has released everything. */
  parked(): Promise<void>;
  /** Statements of the daemon to its server since the last call of this. */
  statements(): string[];
  /** Of the daemon to its server, now. */
  connections(): Promise<string[]>;
  sql(text: string, values?: unknown[]): Promise<pg.QueryResult>;
  stop(): Promise<void>;
}

const ownName = 'engramd-bench';

/** As it is installed: a worker thread from `.ts` files takes its time to be read. */
const built = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export async function startIdleDaemon(env: Readonly<Record<string, string>>): Promise<IdleDaemon> {
  const dataDir = mkdtempSync(join(tmpdir(), 'engramd-bench-'));
  // As root, the server runs as somebody else, who has to get in.
  chmodSync(dataDir, 0o711);
  const { child, ended, file } = await startDaemon(dataDir, env, [], built);
  const layout = embeddedLayout(dataDir);
  const found = findPostmaster(layout.data);
  if (found.kind !== 'ours') throw new Error(`the embedded server is ${found.kind}`);
  const socket = join(dataDir, 'engramd.sock');

  async function sql(text: string, values?: unknown[]): Promise<pg.QueryResult> {
    const client = new pg.Client({
      host: layout.socketFolder,
      user: 'engramd',
      database: 'engramd',
      password: readFileSync(layout.passwordFile, 'utf8').trim(),
      application_name: ownName,
    });
    await client.connect();
    try {
      return await client.query(text, values);
    } finally {
      await client.end();
    }
  }
  await sql("alter system set log_line_prefix = '%p [%a] '");
  await sql("alter system set log_statement = 'all'");
  await sql('select pg_reload_conf()');

  let readTo = statSync(layout.logFile).size;
  async function control(request: ControlRequest): Promise<ControlReply> {
    const reply = await callControl(socket, request, { timeoutMs: 10_000 });
    if (!reply) throw new Error('nobody listens on the control socket');
    return reply;
  }
  async function life(): Promise<LifeStatus> {
    const reply = await control({ type: 'status' });
    if (!('status' in reply) || !reply.status.life) throw new Error('a status without a life');
    return reply.status.life;
  }

  return {
    url: file.url,
    pid: child.pid ?? 0,
    serverPid: found.process.pid,
    socket,
    life,
    control,
    async parked() {
      while (!(await life()).parked) await new Promise((resolve) => setTimeout(resolve, 100));
    },
    statements() {
      const log = readFileSync(layout.logFile);
      const added = log.subarray(readTo).toString();
      readTo = log.length;
      return added.split('\n').filter((line) => /\[engramd(?!-bench)[^\]]*\].*(?:statement|execute)/.test(line));
    },
    async connections() {
      const { rows } = await sql(
        `select application_name from pg_stat_activity
         where backend_type = 'client backend' and application_name <> $1 order by 1`,
        [ownName],
      );
      return rows.map((row) => String(row.application_name));
    },
    sql,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Resident memory of a process in MiB. */
export function rssMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}

/** Sends one control line over a connection of its own, as a client would, and reads one. */
export function askStatus(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let text = '';
    socket.on('connect', () => socket.write('{"type":"status"}\n'));
    socket.on('data', (chunk) => {
      text += String(chunk);
      if (!text.endsWith('\n')) return;
      socket.destroy();
      resolve(text);
    });
    socket.on('error', reject);
  });
}
