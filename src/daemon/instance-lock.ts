import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { findProcess, livenessOf, processScope } from '../db/embedded/process-identity.ts';
import type { Clock } from '../telemetry/clock.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';
import {
  claimFree,
  claimFrom,
  type Holder,
  type LockRecord,
  openLockFolder,
  readHolder,
  tidy,
  withdraw,
} from './lock-chain.ts';

export type InstanceRole = LockRecord['role'];

export interface InstanceLockOptions {
  readonly dataDir: string;
  readonly role: InstanceRole;
  /** How long to wait for an owner of role `cli`, whose work is short. A daemon is never waited for. */
  readonly waitMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

export interface InstanceLock {
  /** The owner that died without giving the lock back, if there was one. */
  readonly takenOverFrom: { readonly pid: number; readonly role: InstanceRole; readonly startedAt: string } | undefined;
  release(): Promise<void>;
}

/** Another engramd works in this data directory. */
export class DataDirInUseError extends EngramdError {
  readonly code = 'DATA_DIR_IN_USE';
  override readonly retryable = true;
  override readonly exitCode = 4;
  readonly owner: { readonly pid: number; readonly role: InstanceRole; readonly host: string };

  constructor(dataDir: string, owner: LockRecord, waitedMs: number) {
    const waited = waitedMs > 0 ? `, waited ${Math.round(waitedMs / 1000)} s` : '';
    super(
      `the data directory ${dataDir} is in use by another engramd: role ${owner.role}, pid ${owner.pid} on ${owner.host}, ` +
        `since ${owner.startedAt}${waited}`,
    );
    this.owner = { pid: owner.pid, role: owner.role, host: owner.host };
  }
}

const pollMs = 100;

/**
 * Makes this process the only engramd of `dataDir`, which exists.
 *
 * The lock of a process that died is taken over at once: pid and start time tell, and from another container on the same
 * volume, where pids say nothing, a socket that only a living owner answers. Machines that share the directory over a
 * network are not told apart; nor could PostgreSQL.
 *
 * @throws DataDirInUseError, ProcessUnreadableError; the signal's reason once it aborts
 */
export async function acquireInstanceLock(options: InstanceLockOptions): Promise<InstanceLock> {
  const { dataDir, role, waitMs, clock, signal } = options;
  const folder = openLockFolder(dataDir);
  const record = describeThisProcess(role, clock);
  const presence = await announcePresence(folder, record.token);
  try {
    const startedMs = clock.monotonicMs();
    for (;;) {
      signal?.throwIfAborted();
      const holder = readHolder(folder);
      if (!holder) {
        if (claimFree(folder, record)) return await hold(folder, record, presence, undefined);
      } else if (holder.kind === 'known' && (await isAlive(folder, holder.record, record.scope))) {
        const owner = holder.record;
        const waitedMs = owner.role === 'cli' ? clock.monotonicMs() - startedMs : 0;
        if (owner.role !== 'cli' || waitedMs >= waitMs) throw new DataDirInUseError(dataDir, owner, waitedMs);
        await clock.sleep(Math.min(pollMs, waitMs - waitedMs), signal);
      } else if (claimFrom(folder, record, holder)) {
        return await hold(folder, record, presence, holder);
      }
    }
  } catch (thrown) {
    withdraw(folder, record.token);
    presence?.close();
    throw thrown;
  }
}

async function hold(
  folder: string,
  record: LockRecord,
  announced: Server | undefined,
  dead: Holder | undefined,
): Promise<InstanceLock> {
  await removeSilentSockets(folder, record.token);
  tidy(folder, record.token);
  // An owner that was tidying up at the instant ours was bound, but did not listen yet, took it for a dead one's.
  const presence =
    announced && !existsSync(presenceFile(folder, record.token))
      ? await announcePresence(folder, record.token)
      : announced;
  let isReleased = false;
  return {
    takenOverFrom:
      dead?.kind === 'known'
        ? { pid: dead.record.pid, role: dead.record.role, startedAt: dead.record.startedAt }
        : undefined,
    async release() {
      if (isReleased) return;
      isReleased = true;
      withdraw(folder, record.token);
      presence?.close();
    },
  };
}

function describeThisProcess(role: InstanceRole, clock: Clock): LockRecord {
  return {
    token: randomUUID(),
    pid: process.pid,
    startTime: findProcess(process.pid)?.startTime ?? 'unknown',
    scope: processScope(),
    host: hostname(),
    role,
    startedAt: clock.now().toISOString(),
  };
}

/** Whoever is not known to be dead lives: what is taken over here is somebody's data. */
async function isAlive(folder: string, owner: LockRecord, ownScope: string): Promise<boolean> {
  return owner.scope === ownScope ? livenessOf(owner) !== 'gone' : answers(presenceFile(folder, owner.token));
}

/** Short, for the sake of the 107 bytes that a socket's path may have. */
function presenceFile(folder: string, token: string): string {
  return join(folder, `${token.slice(0, 8)}.sock`);
}

/** Those of processes that wait for us answer, and stay: they will need them. */
async function removeSilentSockets(folder: string, ownToken: string): Promise<void> {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (!name.endsWith('.sock') || path === presenceFile(folder, ownToken)) continue;
    if (!(await answers(path))) rmSync(path, { force: true });
  }
}

/**
 * A socket that nobody speaks on. The kernel accepts connections to it as long as this process lives, even if it hangs or
 * is paused, and refuses them from the moment it is gone.
 */
async function announcePresence(folder: string, token: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  const isListening = await new Promise<boolean>((resolve, reject) => {
    // A path that is too long or a file system without sockets: only owners in other containers are misjudged then.
    server.once('error', (error: NodeJS.ErrnoException) =>
      outOfMeans.has(error.code ?? '') ? reject(error) : resolve(false),
    );
    server.listen(presenceFile(folder, token), () => resolve(true));
  });
  if (!isListening) return undefined;
  server.on('error', () => undefined);
  server.unref();
  return server;
}

/** What is wrong is with us, for now. */
const outOfMeans: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS']);
/** EAGAIN is a full backlog: somebody is there. */
const tellsNothing: ReadonlySet<string> = new Set([...outOfMeans, 'EAGAIN', 'EACCES', 'EPERM']);

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (isAnswering: boolean) => {
      socket.destroy();
      resolve(isAnswering);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', (error: NodeJS.ErrnoException) => settle(tellsNothing.has(error.code ?? '')));
  });
}
