import { localEmbeddingModel } from '../../src/models/local/local-embedder.ts';
import { startPlainServer } from './bench-server.ts';
import { hammerStatus, keepRecalling } from './storm-load.ts';
import type { BuildCounts } from './storm-messages.ts';
import { type StormDaemon, startStormDaemon } from './storm-process.ts';
import { forgetBuilds, type StormSize, seedStorm } from './storm-seed.ts';
import { printTable } from './table.ts';

const bankId = 'storm';
const daemons = 2;
const callers = 8;
/** Vectors of memories and of observations: what a recall asks a daemon for. */
const matrixKeys = 2;

interface Round {
  readonly name: string;
  readonly probes: number;
  readonly missed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly kills: number;
  /** Of each daemon that lived to tell. */
  readonly builds: readonly BuildCounts[];
  readonly recalls: number;
  readonly badRecalls: number;
  readonly firstRecallMs: number;
  /** How long the lists were built, or waited for. */
  readonly buildMs: number;
  readonly peakRssMb: number;
}

/**
 * A cold start with everything asked for at once: two daemons on one database, eight callers that recall, neighbour lists
 * on both, and the status asked for ten times a second. Then the same with the heavy work on the main thread.
 */
export async function run(args: string[]): Promise<void> {
  const isShort = args.includes('--short');
  const size: StormSize = isShort
    ? { memories: 10_000, observations: 8000 }
    : { memories: 50_000, observations: 20_000 };
  const seconds = isShort ? 20 : 90;
  const server = await startPlainServer();
  try {
    console.log(`seeding ${size.memories} memories and ${size.observations} observations of 512 numbers`);
    await seedStorm(server.connectionString, bankId, size);
    const inThreads = await storm('in threads', server.connectionString, { seconds, onMainThread: false });
    await forgetBuilds(server.connectionString);
    const onMain = await storm('on the main thread', server.connectionString, { seconds, onMainThread: true });
    print([inThreads, onMain]);
    const failures = verdicts(inThreads, onMain);
    for (const failure of failures) console.log(`FAIL ${failure}`);
    if (failures.length > 0) process.exitCode = 1;
  } finally {
    await server.stop();
  }
}

async function storm(
  name: string,
  databaseUrl: string,
  options: { readonly seconds: number; readonly onMainThread: boolean },
): Promise<Round> {
  const { seconds, onMainThread } = options;
  console.log(`${seconds} s of storm, heavy work ${name}`);
  const settings = { databaseUrl, bankId, modelId: localEmbeddingModel.id, onMainThread };
  const running: StormDaemon[] = [];
  try {
    for (let at = 0; at < daemons; at += 1) running.push(await startStormDaemon(settings));
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), seconds * 1000);
    const [probed, recalled, built] = await Promise.all([
      Promise.all(running.map(({ socket }) => hammerStatus(socket, over.signal))),
      Promise.all(
        Array.from({ length: callers }, (_, at) =>
          keepRecalling(running[at % daemons]?.url ?? '', bankId, over.signal),
        ),
      ),
      Promise.all(running.map((daemon) => daemon.build(callers / daemons))),
    ]);
    clearTimeout(timer);
    const stopped = await Promise.all(running.map((daemon) => daemon.stop()));
    const latenciesMs = probed.flatMap((seen) => seen.latenciesMs).sort((a, b) => a - b);
    const quantile = (share: number) => latenciesMs[Math.ceil(share * latenciesMs.length) - 1] ?? 0;
    const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
    return {
      name,
      probes: latenciesMs.length,
      missed: sum(probed.map(({ missed }) => missed)),
      p50Ms: quantile(0.5),
      p99Ms: quantile(0.99),
      maxMs: quantile(1),
      kills: sum(running.map((daemon) => daemon.kills())),
      builds: stopped.flatMap((report) => (report ? [report.builds] : [])),
      recalls: sum(recalled.map(({ answered }) => answered)),
      badRecalls: sum(recalled.map(({ bad }) => bad)),
      firstRecallMs: Math.max(...recalled.map(({ firstMs }) => firstMs)),
      buildMs: Math.max(...built.map((report) => report?.ms ?? 0)),
      peakRssMb: Math.max(...stopped.map((report) => (report?.peakRssBytes ?? 0) / 2 ** 20)),
    };
  } finally {
    for (const daemon of running) daemon.remove();
  }
}

function count(builds: readonly BuildCounts[], what: string): number {
  return builds.reduce((all, counts) => all + (counts[what] ?? 0), 0);
}

function verdicts(inThreads: Round, onMain: Round): string[] {
  const { builds } = inThreads;
  const checks: readonly [boolean, string][] = [
    [inThreads.missed === 0, `${inThreads.missed} of ${inThreads.probes} probes of the status were missed`],
    [inThreads.kills === 0, `${inThreads.kills} kills`],
    [builds.length === daemons, `${daemons - builds.length} daemons did not live to the end`],
    ...builds.map((counts, at): [boolean, string] => [
      counts['matrix built'] === matrixKeys,
      `daemon ${at + 1} read ${counts['matrix built'] ?? 0} matrices, of ${matrixKeys} keys`,
    ]),
    [
      count(builds, 'neighbours built') === 1,
      `neighbour lists were built ${count(builds, 'neighbours built')} times, not once`,
    ],
    [
      count(builds, 'neighbours joined') + count(builds, 'neighbours loaded') === callers - 1,
      'not everybody shared or loaded the one build of neighbour lists',
    ],
    [inThreads.badRecalls === 0, `${inThreads.badRecalls} of ${inThreads.recalls} recalls failed or found nothing`],
    [
      onMain.p99Ms >= 10 * inThreads.p99Ms,
      `on the main thread the p99 of a probe is ${onMain.p99Ms.toFixed(0)} ms, less than ten times ${inThreads.p99Ms.toFixed(0)} ms`,
    ],
  ];
  return checks.filter(([holds]) => !holds).map(([, text]) => text);
}

function print(rounds: readonly Round[]): void {
  printTable(
    [
      'heavy work',
      'probes',
      'missed',
      'p50 ms',
      'p99 ms',
      'max ms',
      'kills',
      'matrices',
      'joined',
      'lists built',
      'shared',
      'lists s',
      'recalls',
      'bad',
      'first s',
      'peak MB',
    ],
    rounds.map((round) => [
      round.name,
      String(round.probes),
      String(round.missed),
      round.p50Ms.toFixed(1),
      round.p99Ms.toFixed(1),
      round.maxMs.toFixed(0),
      String(round.kills),
      String(count(round.builds, 'matrix built')),
      String(count(round.builds, 'matrix joined')),
      String(count(round.builds, 'neighbours built')),
      String(count(round.builds, 'neighbours joined') + count(round.builds, 'neighbours loaded')),
      (round.buildMs / 1000).toFixed(1),
      String(round.recalls),
      String(round.badRecalls),
      (round.firstRecallMs / 1000).toFixed(1),
      round.peakRssMb.toFixed(0),
    ]),
  );
}
