import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { type RunningDaemon, startDaemon } from '../support/engramd-process.ts';
import { startPlainServer } from './bench-server.ts';
import { percentile } from './percentile.ts';
import { printTable } from './table.ts';
import { tell } from './verdict.ts';

const boundMs = 30_000;

interface Leader {
  /** Null: nobody's lease is good. */
  readonly pid: number | null;
  readonly fence: number;
}

/** The daemon that leads is killed with SIGKILL; how long until the other one leads and has ticked. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { short: { type: 'boolean', default: false } } });
  const kills = values.short ? 3 : 20;
  const server = await startPlainServer();
  const folder = mkdtempSync(join(tmpdir(), 'engramd-bench-'));
  const client = new pg.Client({ connectionString: server.connectionString, application_name: 'engramd-bench' });
  const daemons = new Map<number, RunningDaemon>();
  let started = 0;

  async function start(): Promise<void> {
    started += 1;
    const env = { DATABASE_URL: server.connectionString, ENGRAMD_HIBERNATE: 'off' };
    const daemon = await startDaemon(join(folder, String(started)), env);
    daemons.set(daemon.file.pid, daemon);
  }

  /** By the database's clock, as everybody's. */
  async function leader(): Promise<Leader> {
    const { rows } = await client.query<{ pid: number | null; fence: string }>(
      `select i.pid, l.fence from engram.leader l
       left join engram.instances i on i.id = l.instance_id and l.expires_at > now()`,
    );
    return { pid: rows[0]?.pid ?? null, fence: Number(rows[0]?.fence ?? 0) };
  }

  async function nextTick(after: number): Promise<void> {
    for (;;) {
      const { rows } = await client.query<{ tick: string }>('select tick from engram.lifecycle');
      if (Number(rows[0]?.tick) > after) return;
      await pause(20);
    }
  }

  const leadsMs: number[] = [];
  const ticksMs: number[] = [];
  const fences: number[] = [];
  try {
    await start();
    await client.connect();
    for (let kill = 1; kill <= kills; kill += 1) {
      await start();
      let led = await leader();
      while (led.pid === null) {
        await pause(20);
        led = await leader();
      }
      const killed = daemons.get(led.pid);
      if (!killed) throw new Error(`process ${led.pid} leads, which is none of the bench`);
      // Anywhere between two renewals.
      await pause(Math.random() * 5000);
      const { rows } = await client.query<{ tick: string }>('select tick from engram.lifecycle');
      const startedMs = performance.now();
      killed.child.kill('SIGKILL');
      await killed.ended;
      daemons.delete(led.pid);
      let next = await leader();
      while (next.fence === led.fence || next.pid === null) {
        await pause(20);
        next = await leader();
      }
      leadsMs.push(performance.now() - startedMs);
      await nextTick(Number(rows[0]?.tick));
      ticksMs.push(performance.now() - startedMs);
      fences.push(next.fence - led.fence);
    }
  } finally {
    for (const { child, ended } of daemons.values()) {
      child.kill('SIGTERM');
      await ended;
    }
    await client.end();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }

  const seconds = (values: readonly number[], share: number) => (percentile(values, share) / 1000).toFixed(1);
  printTable(
    ['from the kill to', 'kills', 'p50 s', 'p95 s', 'max s'],
    [
      ['a new leader', leadsMs],
      ['its first tick', ticksMs],
    ].map(([name, values]) => [
      String(name),
      String(kills),
      ...[0.5, 0.95, 1].map((share) => seconds(values as number[], share)),
    ]),
  );
  tell(percentile(leadsMs, 0.95) < boundMs, `p95 until a new leader under ${boundMs / 1000} s`);
  tell(
    fences.every((step) => step === 1),
    'each kill has exactly one successor',
  );
}

function pause(forMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, forMs));
}
