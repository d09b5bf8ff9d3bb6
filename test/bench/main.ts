/** `npm run bench -- NAME …`: measurements that print what they find and exit 1 where a bound is missed. */

interface Bench {
  readonly about: string;
  readonly load: () => Promise<{ readonly run: (args: string[]) => Promise<void> }>;
}

const benches: Readonly<Record<string, Bench>> = {
  backup: {
    about:
      'a backup against pg_dump -Fc on pgvector/pgvector:pg17, with and without verification; memory (--short: 10,000 memories; --size N)',
    load: () => import('./backup.ts'),
  },
  failover: {
    about: 'kills the daemon that leads; how long until another one does (--short: three times)',
    load: () => import('./failover.ts'),
  },
  golden: {
    about:
      'judges the golden pairs with the rules decider and the local embedder, by kind (--missed: ids of the tuning part)',
    load: () => import('./golden.ts'),
  },
  idle: {
    about:
      'a parked daemon: CPU, queries and connections with nobody asking, and with probes; wake to first answer; memory (--short: a quick look)',
    load: () => import('./idle.ts'),
  },
  interrupt: {
    about: 'a request in the middle of each step of the sleep cycle: how long until the step has yielded (--short)',
    load: () => import('./interrupt.ts'),
  },
  locomo: {
    about: 'consolidates and asks conversations of LoCoMo (--data DIR); recall against raw memories and folds',
    load: () => import('./locomo.ts'),
  },
  night: {
    about: 'what a night costs: the sample bank by a scripted model, priced by the ledger',
    load: () => import('./night.ts'),
  },
  overhead: {
    about: 'consolidates 10,000 memories of ready vectors: time, queries and round trips a memory',
    load: () => import('./overhead.ts'),
  },
  pool: {
    about:
      'throughput over two connections against a scripted model of 4 s, and with a connection held across each call (--short: a quick look)',
    load: () => import('./pool.ts'),
  },
  probe: {
    about: 'the status while a backup is written, restored and compared, and a snapshot taken (--short: a quick look)',
    load: () => import('./probe.ts'),
  },
  storm: {
    about:
      'a cold start on 50,000 memories with everything asked for at once on two daemons, and with heavy work on the main thread (--short: a quick look)',
    load: () => import('./storm.ts'),
  },
};

const [name, ...args] = process.argv.slice(2);
const bench = name !== undefined && Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench) {
  const { run } = await bench.load();
  await run(args);
} else {
  const asked = name === undefined || name === '--help' || name === '-h';
  if (!asked) console.error(`no bench is called ${JSON.stringify(name)}`);
  console.log(
    [
      'usage: npm run bench -- NAME [options]',
      '',
      ...Object.entries(benches).map(([key, { about }]) => `  ${key.padEnd(10)} ${about}`),
    ].join('\n'),
  );
  process.exitCode = asked ? 0 : 2;
}
