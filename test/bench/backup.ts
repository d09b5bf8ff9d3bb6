import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type PgvectorServer, startPgvector } from '../support/pgvector-server.ts';
import type { BackupMeasured } from './backup-messages.ts';
import { seedBackup } from './backup-seed.ts';
import { percentile } from './percentile.ts';
import { printTable } from './table.ts';
import { tell } from './verdict.ts';

const boundRatio = 0.8;
const boundMiB = 100;
const child = fileURLToPath(new URL('./backup-process.ts', import.meta.url));

interface Measured {
  readonly memories: number;
  readonly dumpSeconds: number;
  readonly dumpBytes: number;
  readonly write: BackupMeasured;
  readonly verified: BackupMeasured;
}

/**
 * A backup against the server's own `pg_dump -Fc`, which runs beside the server and so spares itself the way out of the
 * container. Both take schema `engram`; runs alternate, and the median counts.
 */
export async function run(args: string[]): Promise<void> {
  const at = args.indexOf('--size');
  const sizes = at >= 0 ? [Number(args[at + 1])] : args.includes('--short') ? [10_000] : [10_000, 100_000, 1_000_000];
  const started = await startPgvector();
  if (started.kind === 'unavailable') throw new Error(started.reason);
  const { server } = started;
  const folder = mkdtempSync(join(tmpdir(), 'engramd-bench-'));
  const measured: Measured[] = [];
  try {
    for (const memories of sizes) measured.push(await measure(server, folder, memories));
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await server.stop();
  }
  report(measured);
}

async function measure(server: PgvectorServer, folder: string, memories: number): Promise<Measured> {
  console.log(`seeding ${memories} memories of 512 numbers`);
  const name = `bench_${memories}`;
  const databaseUrl = await createDatabase(server.connectionString, name);
  await seedBackup(databaseUrl, memories);
  const rounds = memories >= 1_000_000 ? 1 : 3;
  const dumps: { seconds: number; bytes: number }[] = [];
  const writes: BackupMeasured[] = [];
  const verified = await back(databaseUrl, folder, 'verify');
  say('with verification', verified);
  for (let round = 0; round < rounds; round += 1) {
    const written = await back(databaseUrl, folder, '');
    say('without', written);
    writes.push(written);
    const dumped = await dump(server, name);
    say('pg_dump -Fc', dumped);
    dumps.push(dumped);
  }
  await dropDatabase(server.connectionString, name);
  return {
    memories,
    dumpSeconds: median(dumps.map(({ seconds }) => seconds)),
    dumpBytes: dumps[0]?.bytes ?? Number.NaN,
    write: {
      seconds: median(writes.map(({ seconds }) => seconds)),
      idleMiB: median(writes.map(({ idleMiB }) => idleMiB)),
      peakMiB: Math.max(...writes.map(({ peakMiB }) => peakMiB)),
      bytes: writes[0]?.bytes ?? Number.NaN,
    },
    verified,
  };
}

async function createDatabase(adminUrl: string, name: string): Promise<string> {
  await asAdmin(adminUrl, `create database ${name}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}

function dropDatabase(adminUrl: string, name: string): Promise<void> {
  return asAdmin(adminUrl, `drop database ${name} with (force)`);
}

async function asAdmin(adminUrl: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function dump(server: PgvectorServer, database: string) {
  const startedMs = performance.now();
  await server.exec(['pg_dump', '-U', 'engramd', '-n', 'engram', '-Fc', '-f', '/tmp/bench.dump', database]);
  const seconds = (performance.now() - startedMs) / 1000;
  const bytes = Number((await server.exec(['stat', '-c', '%s', '/tmp/bench.dump'])).trim());
  return { seconds, bytes };
}

async function back(databaseUrl: string, folder: string, verifies: '' | 'verify'): Promise<BackupMeasured> {
  const forked = fork(child, [databaseUrl, folder, verifies], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const told = once(forked, 'message') as Promise<[BackupMeasured]>;
  const ended = once(forked, 'exit').then(() => {
    throw new Error('the process that takes the backup ended without a word');
  });
  const [measured] = await Promise.race([told, ended]);
  await ended.catch(() => undefined);
  return measured;
}

/** A million memories take a while. */
function say(what: string, { seconds, ...more }: { readonly seconds: number } & Partial<BackupMeasured>): void {
  const { peakMiB, idleMiB } = more;
  const memory =
    peakMiB === undefined || idleMiB === undefined ? '' : `, ${(peakMiB - idleMiB).toFixed(0)} MiB over idle`;
  console.log(`  ${what}: ${seconds.toFixed(1)} s${memory}`);
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

function report(measured: readonly Measured[]): void {
  const mb = (bytes: number) => (bytes / 1e6).toFixed(0);
  const over = ({ peakMiB, idleMiB }: BackupMeasured) => (peakMiB - idleMiB).toFixed(0);
  printTable(
    ['memories', 'pg_dump s', 'MB', 'backup s', 'MB', 'ratio', 'verified s', 'ratio', 'MiB over idle', 'verifying'],
    measured.map(({ memories, dumpSeconds, dumpBytes, write, verified }) => [
      memories.toLocaleString('en'),
      dumpSeconds.toFixed(1),
      mb(dumpBytes),
      write.seconds.toFixed(1),
      mb(write.bytes),
      (dumpSeconds / write.seconds).toFixed(2),
      verified.seconds.toFixed(1),
      (dumpSeconds / verified.seconds).toFixed(2),
      over(write),
      over(verified),
    ]),
  );
  for (const { memories, dumpSeconds, write, verified } of measured) {
    const ratio = dumpSeconds / write.seconds;
    const label = memories.toLocaleString('en');
    tell(ratio >= boundRatio, `${label}: at least ${boundRatio} times the throughput of pg_dump: ${ratio.toFixed(2)}`);
    const mib = Math.max(write.peakMiB - write.idleMiB, verified.peakMiB - verified.idleMiB);
    tell(mib < boundMiB, `${label}: less than ${boundMiB} MiB over idle: ${mib.toFixed(0)}`);
  }
}
