import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { startDaemon } from '../support/engramd-process.ts';
import { seedBackup } from './backup-seed.ts';
import { startPlainServer } from './bench-server.ts';
import { percentile } from './percentile.ts';
import { hammerStatus } from './storm-load.ts';
import { printTable } from './table.ts';
import { tell } from './verdict.ts';

const built = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const boundMs = 50;
const quietSeconds = 20;
const longestSeconds = 1800;

interface Heard {
  readonly phase: string;
  readonly latenciesMs: readonly number[];
  readonly missed: number;
}

/**
 * The status of a daemon asked for ten times a second: with nothing to do, and while it writes, restores and compares its
 * backup and takes its first snapshot.
 */
export async function run(args: string[]): Promise<void> {
  const memories = args.includes('--short') ? 10_000 : 100_000;
  const server = await startPlainServer();
  const dataDir = mkdtempSync(join(tmpdir(), 'engramd-bench-'));
  chmodSync(dataDir, 0o711);
  try {
    console.log(`seeding ${memories} memories of 512 numbers`);
    await seedBackup(server.connectionString, memories);
    const client = new pg.Client({ connectionString: server.connectionString });
    await client.connect();
    // As if last night's had been taken: the quiet is measured first.
    await client.query(
      `insert into engram.backups (id, instance_id, host, trigger, status, verified_at, finished_at, seen_xid)
       values (gen_random_uuid(), gen_random_uuid(), 'bench', 'due', 'verified', now(), now(), pg_current_xact_id())`,
    );
    const env = { DATABASE_URL: server.connectionString, ENGRAMD_DECIDER: 'rules', LOG_LEVEL: 'warn' };
    const daemon = await startDaemon(dataDir, env, [], built);
    const socket = join(dataDir, 'engramd.sock');
    const heard: Heard[] = [];
    try {
      await pause(3000);
      heard.push(await listen(socket, 'nothing to do', (over) => pause(quietSeconds * 1000).then(over)));
      // A database without one waits for its first night: that was missed.
      await client.query("update engram.lifecycle set born_at = now() - interval '3 days'");
      await client.query("update engram.banks set created_at = now() - interval '1 day'");
      await client.query('delete from engram.backups');
      heard.push(await listen(socket, 'backup, verification, snapshot', (over) => backedUp(client).then(over)));
    } finally {
      daemon.child.kill('SIGTERM');
      await daemon.ended;
      await client.end();
    }
    report(heard);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
    await server.stop();
  }
}

async function listen(socket: string, phase: string, until: (over: () => void) => Promise<void>): Promise<Heard> {
  const over = new AbortController();
  const [{ latenciesMs, missed }] = await Promise.all([
    hammerStatus(socket, over.signal),
    until(() => over.abort()).catch((thrown: unknown) => {
      over.abort();
      throw thrown;
    }),
  ]);
  return { phase, latenciesMs, missed };
}

async function backedUp(client: pg.Client): Promise<void> {
  for (let seconds = 0; seconds < longestSeconds; seconds += 0.5) {
    const { rows } = await client.query(
      `select status, error, extract(epoch from coalesce(verified_at, finished_at) - started_at)::float as took,
         (select count(*)::int from engram.snapshots) as snapshots
       from engram.backups order by started_at desc limit 1`,
    );
    const row = rows[0];
    if (row?.status === 'failed') throw new Error(`the backup failed: ${row.error}`);
    if (row?.status === 'verified' && row.snapshots > 0) {
      console.log(`written, restored and compared in ${Number(row.took).toFixed(1)} s; ${row.snapshots} snapshot`);
      return;
    }
    await pause(500);
  }
  throw new Error('no backup was verified');
}

function report(heard: readonly Heard[]): void {
  const ms = (value: number) => value.toFixed(1);
  printTable(
    ['while', 'probes', 'missed', 'p50 ms', 'p99 ms', 'max ms'],
    heard.map(({ phase, latenciesMs, missed }) => [
      phase,
      String(latenciesMs.length),
      String(missed),
      ms(percentile(latenciesMs, 0.5)),
      ms(percentile(latenciesMs, 0.99)),
      ms(Math.max(...latenciesMs)),
    ]),
  );
  const busy = heard.at(-1);
  const p99 = percentile(busy?.latenciesMs ?? [], 0.99);
  tell(p99 < boundMs && busy?.missed === 0, `p99 of a status under ${boundMs} ms meanwhile: ${ms(p99)} ms`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
