import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { RpcDispatcher } from '../../../src/api/rpc.ts';
import type { StatusDocument } from '../../../src/api/status-board.ts';
import { type ControlServerOptions, startControlServer } from '../../../src/daemon/control/control-server.ts';
import type { LifeControl } from '../../../src/lifecycle/life-view.ts';
import { systemClock } from '../../../src/telemetry/clock.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createScratchFolder, removeScratchFolder } from '../../support/scratch-folder.ts';

const zero = { pending: 0, consolidated: 0, proposed: 0, held: 0, parked: 0 };
export const life: NonNullable<StatusDocument['life']> = {
  state: 'wake',
  since: '2026-03-04T09:00:00.000Z',
  reason: 'activity',
  stamped_at: '2026-03-04T09:59:59.000Z',
  parked: false,
  activity_age_seconds: 12,
  requests_in_flight: 0,
  idle_countdown: { to: 'drowsy', seconds: 288 },
  held_by: 'idle_wait',
  next_due: null,
  paused: null,
  sleep_forced: false,
  leader: { instance_id: '01890000-0000-7000-8000-000000000001', is_self: true },
  last_tick_at: '2026-03-04T09:59:50.000Z',
  skipped: null,
  cycle: null,
  cycles: { started: 0, completed: 0, last_clean_at: null, last_failed_at: null },
  quarantine: [],
  event_loop_delay: { p50_ms: 1.2, p99_ms: 4.5 },
  needs_operator: null,
  last_exit: null,
};

export const statusDocument: StatusDocument = {
  version: '0.1.0',
  instance_id: '01890000-0000-7000-8000-000000000001',
  condition: 'ready',
  started_at: '2026-03-04T08:00:00.000Z',
  uptime_seconds: 7200,
  facts_at: '2026-03-04T09:59:59.000Z',
  decider: 'rules/1',
  embedding: { model: 'local/use', dimensions: 512, configured: 'local/use', pinned_differs: false },
  models: [],
  waits_until: null,
  scores_wait_until: null,
  budget: null,
  vectors: 'exact',
  pool: { used: 0, idle: 1, waiting: 0 },
  banks: 1,
  memories: zero,
  due: 0,
  oldest_due_seconds: 0,
  unembedded: 0,
  unscored: 0,
  oldest_unscored_seconds: 0,
  scores_parked: 0,
  pins: { manual: 0, auto: 0, over_cap: 0 },
  observations: 0,
  open_conflicts: 0,
  proposed_changes: 0,
  queue: null,
  life,
  backups: null,
};

/** A control server over a daemon that only notes what it is asked for. */
export async function createControlFixture(overrides: Partial<ControlServerOptions> = {}) {
  const folder = createScratchFolder();
  const path = join(folder, 'engramd.sock');
  const asked: string[] = [];
  const note = (what: string) => {
    asked.push(what);
    return Promise.resolve({ state: 'wake' as const, note: what });
  };
  const control: LifeControl = {
    forceSleep: (reason) => note(`sleep ${reason}`),
    wake: (reason) => note(`wake ${reason}`),
    pause: (forMs) => note(`pause ${forMs}`),
    resume: () => note('resume'),
  };
  const dispatch: RpcDispatcher = async (request) => {
    const { id } = request as { id: number };
    asked.push(`rpc ${id}`);
    return { jsonrpc: '2.0', id, result: 'done' };
  };
  const server = await startControlServer({
    at: { path },
    handlers: { status: { fresh: async () => statusDocument, last: () => statusDocument }, life: control },
    dispatch,
    clock: systemClock,
    log: silentLog,
    ...overrides,
  });
  return {
    folder,
    path,
    server,
    asked,
    open: () => openClient(path),
    async close() {
      await server.stop();
      removeScratchFolder(folder);
    },
  };
}

export interface Client {
  readonly socket: Socket;
  send(...lines: (string | Buffer | object)[]): void;
  /** The next reply; undefined at the end of the connection. */
  next(): Promise<Record<string, unknown> | undefined>;
}

/** A client that checks nothing. */
export async function openClient(path: string): Promise<Client> {
  const socket = connect(path);
  await once(socket, 'connect');
  const replies = (async function* () {
    let text = '';
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      const lines = (text + String(chunk)).split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as Record<string, unknown>;
    }
  })();
  return {
    socket,
    send(...lines) {
      for (const line of lines)
        socket.write(typeof line === 'string' || Buffer.isBuffer(line) ? line : `${JSON.stringify(line)}\n`);
    },
    next: async () => (await replies.next()).value ?? undefined,
  };
}
