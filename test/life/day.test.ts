import { connect, type Socket } from 'node:net';
import { afterAll, describe, it, vi } from 'vitest';
import { z } from 'zod';
import { callRpc } from '../../src/daemon/control/control-client.ts';
import { startCutProxy } from '../support/cut-proxy.ts';
import { engramd } from '../support/engramd-process.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { endAll, type LivingDaemon, scratch, shortLife, startLiving } from './living-daemon.ts';

/*
 * Days of real daemons, made short by settings alone, each on a database of its own and side by side: most of a day is
 * waiting.
 */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000, maxConcurrency: 8 });

const databases: TestDatabase[] = [];
afterAll(async () => {
  await endAll();
  await Promise.all(databases.map((database) => database.drop()));
});

interface Day {
  readonly database: TestDatabase;
  readonly daemon: LivingDaemon;
  isParked(): Promise<unknown>;
  /** By plain SQL, and, by default, long enough ago that nobody waits for more. */
  insert(text: string, age?: string): Promise<unknown>;
  /** Of the daemon to its database, by name. */
  connections(): Promise<string[]>;
  /** Wakes it once it is parked, and says why it woke. */
  wokenBy(wake: () => Promise<unknown>): Promise<string>;
}

/** A daemon with one memory that waits to be consolidated. */
async function dawn(settings: Readonly<Record<string, string>> = shortLife, given?: TestDatabase): Promise<Day> {
  const database = given ?? (await createTestDatabase());
  databases.push(database);
  const insert: Day['insert'] = (text, age = '1 minute') =>
    database.db.query(
      `with bank as (insert into engram.banks (id) values ('b') on conflict do nothing)
       insert into engram.memories (bank_id, id, text, created_at, next_attempt_at)
       values ('b', gen_random_uuid(), $1, now() - $2::interval, now() - $2::interval)`,
      [text, age],
    );
  await insert('The kettle is in the kitchen.');
  const daemon = await startLiving({ DATABASE_URL: database.connectionString, ...settings });
  const isParked = () => daemon.until('parked', (life) => life.parked);
  return {
    database,
    daemon,
    isParked,
    insert,
    async connections() {
      const { rows } = await database.db.query<{ name: string }>(
        `select application_name as name from pg_stat_activity
         where datname = current_database() and application_name not like 'engramd-test%'
           and backend_type = 'client backend' order by 1`,
      );
      return rows.map(({ name }) => name);
    },
    async wokenBy(wake) {
      await isParked();
      await wake();
      return (await daemon.until('awake', (life) => life.state === 'wake' && !life.parked)).reason;
    },
  };
}

const recall = { query: 'kettle' };

describe.concurrent('a daemon', () => {
  it('left alone grows drowsy, sleeps, does its cycle, hibernates and keeps one connection; no probe wakes it', async ({
    expect,
  }) => {
    const { database, daemon, isParked, connections } = await dawn();
    await isParked();
    expect(daemon.transitions()).toEqual([
      'wake → drowsy (idle)',
      'drowsy → sleep (idle)',
      'sleep → hibernation (idle)',
    ]);
    const { rows: steps } = await database.db.query<{ name: string; status: string }>(
      `select s.name, s.status from engram.sleep_cycles c join engram.sleep_steps s on s.cycle_id = c.id
       where c.outcome = 'clean' order by s.position`,
    );
    expect(steps.map(({ name, status }) => `${name} ${status}`)).toEqual([
      'drain done',
      'score done',
      'dedup done',
      'contradictions done',
      'integrity done',
      'digest done',
    ]);
    await expect.poll(connections).toEqual(['engramd listen']);

    const before = await daemon.life();
    const sockets = await probe(daemon);
    const after = await daemon.life();
    expect(after).toEqual({ ...before, stamped_at: after.stamped_at });
    expect(after).toMatchObject({ state: 'hibernation', parked: true, activity_age_seconds: null, leader: null });
    expect(await connections()).toEqual(['engramd listen']);
    for (const socket of sockets) socket.destroy();

    expect(await daemon.stop()).toMatchObject({ code: 0 });
    const { rows } = await database.db.query("select stop_reason from engram.instances where role = 'daemon'");
    expect(rows).toEqual([{ stop_reason: 'SIGTERM' }]);
  });

  it('that hibernates is woken by a request over HTTP and by work over its socket, and answers both', async ({
    expect,
  }) => {
    const { daemon, wokenBy } = await dawn();
    const byHttp = await wokenBy(async () => {
      const answer = await fetch(`${daemon.file.url}/v1/banks/b/recall`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(recall),
      });
      expect(await answer.json()).toMatchObject({ items: [{}] });
    });
    const bySocket = await wokenBy(async () => {
      const call = { method: 'recall', params: { bank: 'b', body: recall }, result: z.looseObject({}) };
      const answer = await callRpc(daemon.socket, call, { timeoutMs: 10_000 });
      expect(answer?.result).toMatchObject({ items: [{}] });
    });
    expect([byHttp, bySocket]).toEqual(['activity', 'activity']);
  });

  it('that hibernates is woken by rows of plain SQL, and by those that a command writes without it', async ({
    expect,
  }) => {
    const { database, daemon, wokenBy, insert, isParked } = await dawn();
    expect(await wokenBy(() => insert('The lamp is in the hall.'))).toBe('rows_by_sql');
    await isParked();
    const consolidated = await database.db.query("select from engram.memories where state = 'consolidated'");
    expect(consolidated.rowCount).toBe(2);
    const elsewhere = { DATABASE_URL: database.connectionString };
    const byCommand = await wokenBy(async () => {
      const ended = await engramd(['remember', 'The rug is red.', '--bank', 'b', '--data-dir', scratch()], elsewhere);
      expect([ended.code, ended.stderr]).toEqual([0, '']);
    });
    expect(byCommand).toBe('rows_by_sql');
    expect((await daemon.stop()).code).toBe(0);
  });

  it('that hibernates is woken, as soon as it listens again, by rows that came while it could not', async ({
    expect,
  }) => {
    const database = await createTestDatabase();
    const proxy = await startCutProxy(database.connectionString);
    try {
      const { daemon, wokenBy, insert } = await dawn(
        { ...shortLife, DATABASE_DIRECT_URL: proxy.connectionString },
        database,
      );
      const reason = await wokenBy(async () => {
        await proxy.cut();
        await insert('The lamp is in the hall.', '0 s');
        await proxy.mend();
      });
      expect(reason).toBe('rows_by_sql');
      expect((await daemon.stop()).code).toBe(0);
    } finally {
      await proxy.close();
    }
  });

  it('awake or hibernating: `engramd sleep` runs a cycle and parks it without the wait, `engramd wake` wakes it', async ({
    expect,
  }) => {
    const { daemon, isParked } = await dawn({});
    const said = async (...args: string[]) => {
      const { code, stdout, stderr } = await daemon.command(...args);
      expect(code).toBe(0);
      return stdout + stderr;
    };
    expect(await said('sleep', '--wait')).toContain('digest');
    await isParked();
    expect(daemon.transitions()).toEqual([
      'wake → drowsy (forced)',
      'drowsy → sleep (forced)',
      'sleep → hibernation (forced_cycle_over)',
    ]);
    expect(await said('sleep')).toContain('hibernates already');
    expect((await daemon.life()).parked).toBe(true);
    await said('wake');
    expect(await daemon.life()).toMatchObject({ state: 'wake', reason: 'wake_command' });
    // Awake it is asked as well, and stays it.
    await said('wake');
    expect(daemon.transitions()).toHaveLength(4);
  });

  it('drowsy or asleep: `engramd sleep` and `engramd wake` do the same', async ({ expect }) => {
    const { daemon } = await dawn({
      ...shortLife,
      ENGRAMD_SLEEP_AFTER: '1h',
      ENGRAMD_HIBERNATE_AFTER: '2h',
      ENGRAMD_HIBERNATE: 'off',
    });
    const isDrowsy = () => daemon.until('drowsy', ({ state }) => state === 'drowsy');
    const isAsleep = () =>
      daemon.until('asleep with its cycle over', ({ state, cycle }) => state === 'sleep' && cycle?.outcome === 'clean');
    await isDrowsy();
    await daemon.command('wake');
    expect(await daemon.life()).toMatchObject({ state: 'wake', reason: 'wake_command' });
    await isDrowsy();
    await daemon.command('sleep');
    const first = await isAsleep();
    // It sleeps already, and is asked for another cycle, whatever the cool-down says.
    await daemon.command('sleep');
    await daemon.until('over once more', ({ cycles }) => cycles.completed > first.cycles.completed);
    expect((await daemon.life()).state).toBe('sleep');
    await daemon.command('wake');
    expect(await daemon.life()).toMatchObject({ state: 'wake', reason: 'wake_command' });
    expect((await daemon.stop()).code).toBe(0);
  });
});

/** Everything that asks and wants nothing: probes, scrapes, connections that stay open, lines and requests that are none. */
async function probe({ file: { url }, socket, control }: LivingDaemon): Promise<Socket[]> {
  const open = async (target: { path: string } | { host: string; port: number }): Promise<Socket> => {
    const opened = connect(target);
    await new Promise((resolve) => opened.once('connect', resolve));
    return opened;
  };
  const noisy = await open({ path: socket });
  const sockets = [
    noisy,
    await open({ path: socket }),
    await open({ host: '127.0.0.1', port: Number(new URL(url).port) }),
  ];
  const answered = new Promise((resolve) => noisy.once('data', resolve));
  noisy.write('this is no JSON\n{"type":"no such"}\n');
  await answered;
  const paths = ['/healthz', '/readyz', '/metrics', '/v1/status', '/nothing', '/v1/banks/b/nothing'];
  for (const path of [...paths, ...paths]) await (await fetch(`${url}${path}`)).text();
  await (await fetch(`${url}/v1/banks/b/recall`, { method: 'POST', body: '{' })).text();
  await control({ type: 'status', fresh: true });
  return sockets;
}
