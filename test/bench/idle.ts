import { execFileSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startScriptedModelProcess } from '../support/scripted-model/process.ts';
import { askStatus, type IdleDaemon, rssMiB, startIdleDaemon } from './idle-daemon.ts';
import { percentile } from './percentile.ts';
import { cpuOfProcess, cpuOfTree } from './process-cpu.ts';
import { printTable } from './table.ts';
import { tell } from './verdict.ts';

const plan = { quietMs: 300_000, wakes: 20, memories: 500 };
const shortPlan = { quietMs: 30_000, wakes: 5, memories: 100 };
type Plan = typeof plan;

const bounds = { quietCpu: 0.001, askedCpu: 0.01, probeP99Ms: 20, wakeP95Ms: 300, wakeLocalP95Ms: 600 };

const buildTask = fileURLToPath(new URL('../tasks/build.ts', import.meta.url));

/** Short enough for a bench; what is measured is what comes after. */
const shortLife = { ENGRAMD_DROWSY_AFTER: '1s', ENGRAMD_SLEEP_AFTER: '2s', ENGRAMD_HIBERNATE_AFTER: '3s' };

interface Stillness {
  readonly name: string;
  readonly seconds: number;
  /** Shares of one core. */
  readonly daemonCpu: number;
  readonly serverCpu: number | undefined;
  readonly statements: readonly string[];
  readonly connections: readonly string[];
  readonly rssMiB: number;
  readonly isUnchanged: boolean;
  readonly probesMs: readonly number[];
}

interface Wakes {
  readonly embedder: string;
  readonly boundMs: number;
  readonly answersMs: readonly number[];
  readonly rssMiB: number;
}

/** What a daemon costs that hibernates, and how fast it is back. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { short: { type: 'boolean', default: false }, wakes: { type: 'boolean', default: false } },
  });
  const sizes = values.short ? shortPlan : plan;
  execFileSync(process.execPath, [buildTask], { stdio: 'ignore' });
  const model = await startScriptedModelProcess({});
  try {
    const local = await startIdleDaemon({ ENGRAMD_EMBEDDER: 'local', ...shortLife });
    const stillness: Stillness[] = [];
    const wakes: Wakes[] = [];
    try {
      await seed(local, sizes);
      if (!values.wakes) {
        stillness.push(await stayStill('nobody asks', local, sizes, async () => []));
        stillness.push(await stayStill('probes and scrapes', local, sizes, (until) => ask(local, until)));
      }
      wakes.push(await wakeAndRecall('local', bounds.wakeLocalP95Ms, local, sizes));
    } finally {
      await local.stop();
    }
    const remote = await startIdleDaemon({
      ENGRAMD_EMBEDDER: 'openai',
      ENGRAMD_DECIDER: 'rules',
      OPENAI_BASE_URL: model.baseUrl,
      ...shortLife,
    });
    try {
      await seed(remote, sizes);
      wakes.push(await wakeAndRecall('endpoint', bounds.wakeP95Ms, remote, sizes));
    } finally {
      await remote.stop();
    }
    report(stillness, wakes);
  } finally {
    await model.close();
  }
}

/** Memories with vectors, consolidated, and a cycle behind it. */
async function seed(daemon: IdleDaemon, { memories }: Plan): Promise<void> {
  await daemon.sql("insert into engram.banks (id) values ('idle')");
  await daemon.sql(
    `insert into engram.memories (bank_id, id, text, created_at, next_attempt_at)
     select 'idle', gen_random_uuid(), 'Shelf ' || n || ' holds ' || (n * 7) || ' books.', now() - interval '1 minute',
       now() - interval '1 minute'
     from generate_series(1, $1::int) as n`,
    [memories],
  );
  for (;;) {
    const { rows } = await daemon.sql(
      "select from engram.memories where state = 'pending' or embedding is null limit 1",
    );
    if (rows.length === 0) return;
    await pause(250);
  }
}

/** Watches it for a while, parked, beside whatever `meanwhile` does. */
async function stayStill(
  name: string,
  daemon: IdleDaemon,
  { quietMs }: Plan,
  meanwhile: (untilMs: number) => Promise<number[]>,
): Promise<Stillness> {
  await daemon.parked();
  // Let go of is not yet gone: sockets close, and memory is given back.
  await pause(3000);
  console.log(`${name}: ${quietMs / 1000} s …`);
  const before = await daemon.life();
  daemon.statements();
  const [daemonBefore, serverBefore] = [cpuOfProcess(daemon.pid), cpuOfTree(daemon.serverPid)];
  const startedMs = performance.now();
  const probesMs = await meanwhile(startedMs + quietMs);
  await pause(startedMs + quietMs - performance.now());
  const seconds = (performance.now() - startedMs) / 1000;
  const [daemonAfter, serverAfter] = [cpuOfProcess(daemon.pid), cpuOfTree(daemon.serverPid)];
  const statements = daemon.statements();
  const after = await daemon.life();
  return {
    name,
    seconds,
    daemonCpu: (daemonAfter - daemonBefore) / seconds,
    serverCpu:
      serverAfter === undefined || serverBefore === undefined ? undefined : (serverAfter - serverBefore) / seconds,
    statements,
    connections: await daemon.connections(),
    rssMiB: rssMiB(daemon.pid),
    isUnchanged: after.parked && after.state === before.state && after.since === before.since,
    probesMs,
  };
}

/** A status probe each second, a scrape each five, and three connections on which nothing is said. */
async function ask(daemon: IdleDaemon, untilMs: number): Promise<number[]> {
  const port = Number(new URL(daemon.url).port);
  const idle: Socket[] = [connect({ path: daemon.socket }), connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
  const probesMs: number[] = [];
  for (let second = 0; performance.now() < untilMs; second += 1) {
    const startedMs = performance.now();
    await askStatus(daemon.socket);
    probesMs.push(performance.now() - startedMs);
    if (second % 5 === 0) await (await fetch(`${daemon.url}/metrics`)).text();
    await pause(startedMs + 1000 - performance.now());
  }
  for (const socket of idle) socket.destroy();
  return probesMs;
}

async function wakeAndRecall(embedder: string, boundMs: number, daemon: IdleDaemon, sizes: Plan): Promise<Wakes> {
  console.log(`waking, ${embedder} embedder: ${sizes.wakes} times …`);
  const answersMs: number[] = [];
  let rss = 0;
  for (let wake = 0; wake < sizes.wakes; wake += 1) {
    await daemon.parked();
    await pause(500);
    const startedMs = performance.now();
    const answer = await fetch(`${daemon.url}/v1/banks/idle/recall`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: `how many books does shelf ${wake + 1} hold?` }),
    });
    const { items } = (await answer.json()) as { items?: unknown[] };
    answersMs.push(performance.now() - startedMs);
    if (!items?.length) throw new Error(`a recall answered ${answer.status} with nothing`);
    rss = Math.max(rss, rssMiB(daemon.pid));
  }
  return { embedder, boundMs, answersMs, rssMiB: rss };
}

const percent = (share: number | undefined) => (share === undefined ? 'n/a' : (100 * share).toFixed(3));
const ms = (value: number) => (Number.isNaN(value) ? '-' : value.toFixed(1));

function report(stillness: readonly Stillness[], wakes: readonly Wakes[]): void {
  printTable(
    [
      'parked',
      'seconds',
      'daemon CPU %',
      'PostgreSQL CPU %',
      'queries',
      'connections',
      'RSS MiB',
      'probes',
      'p50 ms',
      'p99 ms',
      'max ms',
    ],
    stillness.map((s) => [
      s.name,
      s.seconds.toFixed(0),
      percent(s.daemonCpu),
      percent(s.serverCpu),
      String(s.statements.length),
      String(s.connections.length),
      s.rssMiB.toFixed(0),
      String(s.probesMs.length),
      ms(percentile(s.probesMs, 0.5)),
      ms(percentile(s.probesMs, 0.99)),
      ms(percentile(s.probesMs, 1)),
    ]),
  );
  printTable(
    ['embedder', 'wakes', 'first answer p50 ms', 'p95 ms', 'max ms', 'awake RSS MiB'],
    wakes.map((w) => [
      w.embedder,
      String(w.answersMs.length),
      ms(percentile(w.answersMs, 0.5)),
      ms(percentile(w.answersMs, 0.95)),
      ms(percentile(w.answersMs, 1)),
      w.rssMiB.toFixed(0),
    ]),
  );
  for (const s of stillness) {
    const most = s.probesMs.length === 0 ? bounds.quietCpu : bounds.askedCpu;
    tell(s.daemonCpu <= most, `${s.name}: at most ${100 * most} % of one core`);
    tell(s.statements.length === 0, `${s.name}: no query`);
    for (const statement of s.statements.slice(0, 5)) console.log(`     ${statement.slice(0, 200)}`);
    tell(s.connections.length === 1, `${s.name}: one connection (${s.connections.join(', ')})`);
    tell(s.isUnchanged, `${s.name}: the state is what it was`);
    if (s.probesMs.length > 0) {
      tell(percentile(s.probesMs, 0.99) < bounds.probeP99Ms, `${s.name}: p99 probe under ${bounds.probeP99Ms} ms`);
    }
  }
  for (const w of wakes) {
    tell(
      percentile(w.answersMs, 0.95) < w.boundMs,
      `${w.embedder} embedder: p95 of the first answer under ${w.boundMs} ms`,
    );
  }
}

function pause(forMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, forMs)));
}
