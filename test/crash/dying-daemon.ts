/**
 * The real daemon, told by a test where to die or to wait. Started with fork(); argument: {@link DyingDaemonSettings} as
 * JSON, everything else comes from the environment as it does for `engramd run`.
 *
 * Says what it does on stdout, one JSON object a line: the daemon's own log lines, and those of {@link say}.
 */
import { writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { loadConfig } from '../../src/config/load-config.ts';
import type { Decider } from '../../src/consolidation/decider.ts';
import { createRulesDecider } from '../../src/consolidation/rules/rules-decider.ts';
import { runDaemon } from '../../src/daemon/run-daemon.ts';
import { createRulesScorer } from '../../src/significance/rules/rules-scorer.ts';
import type { Scorer } from '../../src/significance/scorer.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { errorMessage } from '../../src/telemetry/engramd-error.ts';
import { createLog } from '../../src/telemetry/log.ts';
import type { Racepoints } from '../../src/telemetry/racepoints.ts';
import { createFakeEmbedder } from '../support/fake-embedder.ts';
import { type DaemonOrder, type DyingDaemonSettings, poison } from './daemon-orders.ts';

const [given] = process.argv.slice(2);
if (given === undefined) throw new Error('not to be imported: this is a process of its own');
const settings = JSON.parse(given) as DyingDaemonSettings;
let trap = settings.trap;
let visits = 0;
const released = Promise.withResolvers<void>();

/** Into the pipe before it returns: what is said just before a SIGKILL is heard. */
function say(line: { readonly msg: string; readonly [detail: string]: unknown }): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  // The kernel may take a moment; not one instruction of the daemon's runs in it.
  for (;;);
}

const racepoints: Racepoints = {
  async reach(name) {
    if (trap?.point !== name) return;
    visits += 1;
    const { visit, does } = trap;
    if (does === 'gather' && visits < visit) return released.promise;
    if (visits !== visit) return;
    say({ msg: does === 'hold' ? 'held' : 'dying', point: name, visit });
    if (does === 'hold') return released.promise;
    die();
  },
};

process.on('message', (order: DaemonOrder) => {
  if (order.kind === 'release') return released.resolve();
  visits = 0;
  trap = order.trap;
  say({ msg: 'trap set' });
});
// A test that was killed itself cannot end us any more.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

function createDecider(kind: Exclude<DyingDaemonSettings['decider'], 'llm'> = 'rules'): Decider {
  const rules = createRulesDecider();
  return {
    ...rules,
    async propose(batch, options) {
      const texts = batch.memories.map(({ text }) => text);
      say({ msg: 'deciding', memories: texts.length });
      switch (kind) {
        case 'rules':
          break;
        case 'held':
          await Promise.race([released.promise, aborted(options.signal)]);
          break;
        case 'deaf':
          await new Promise<never>(() => undefined);
          break;
        case 'mortal':
          if (texts.some((text) => text.includes(poison))) die();
          break;
        default:
          kind satisfies never;
      }
      return rules.propose(batch, options);
    },
  };
}

function createScorer(kind: DyingDaemonSettings['scorer'] = 'rules'): Scorer {
  const rules = createRulesScorer();
  return {
    ...rules,
    score(...asked) {
      say({ msg: 'scoring' });
      return kind === 'deaf' ? new Promise<never>(() => undefined) : rules.score(...asked);
    },
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

// A process that is killed writes none at its end, and loading the daemon is most of what a restart costs here.
flushCompileCache();

try {
  const { config } = loadConfig({ env: process.env });
  const exitCode = await runDaemon({
    config,
    log: createLog({
      level: config.logLevel,
      pretty: false,
      destination: { write: (line) => void writeSync(1, line) },
    }),
    clock: systemClock,
    racepoints,
    embedder: createFakeEmbedder(),
    scorer: createScorer(settings.scorer),
    ...(settings.decider !== 'llm' && { decider: createDecider(settings.decider) }),
    extraServerSettings: { fsync: 'off' },
  });
  process.exit(exitCode);
} catch (thrown) {
  say({ msg: 'failed', error: errorMessage(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
  process.exit(1);
}
