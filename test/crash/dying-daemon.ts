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
import { systemClock } from '../../src/telemetry/clock.ts';
import { errorMessage } from '../../src/telemetry/engramd-error.ts';
import { createLog } from '../../src/telemetry/log.ts';
import type { RacepointName, Racepoints } from '../../src/telemetry/racepoints.ts';
import { createFakeEmbedder } from '../support/fake-embedder.ts';

export interface DyingDaemonSettings {
  /** `held` waits in each proposal until it is released or aborted; `deaf` never answers and never listens. */
  readonly decider?: 'rules' | 'held' | 'deaf';
  /** In force from the start; as by message. */
  readonly trap?: Trap;
}

/** What happens at a visit of a point, counted from 1 since the trap was set. */
export interface Trap {
  readonly point: RacepointName;
  readonly visit: number;
  readonly does: 'die' | 'hold';
}

export type DaemonOrder =
  | { readonly kind: 'set'; readonly trap: Trap }
  /** Lets go of whoever is held, at a point or in the decider, now and from now on. */
  | { readonly kind: 'release' };

const settings = JSON.parse(process.argv[2] ?? '{}') as DyingDaemonSettings;
let trap = settings.trap;
let visits = 0;
const released = Promise.withResolvers<void>();

/** Into the pipe before it returns: what is said just before a SIGKILL is heard. */
function say(line: { readonly msg: string; readonly [detail: string]: unknown }): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

const racepoints: Racepoints = {
  async reach(name) {
    if (trap?.point !== name) return;
    visits += 1;
    const { visit, does } = trap;
    if (visits !== visit) return;
    say({ msg: does === 'die' ? 'dying' : 'held', point: name, visit });
    if (does === 'hold') return released.promise;
    process.kill(process.pid, 'SIGKILL');
    // The kernel may take a moment; not one instruction of the daemon's runs in it.
    for (;;);
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

function heldDecider(listens: boolean): Decider {
  const rules = createRulesDecider();
  return {
    ...rules,
    async propose(batch, options) {
      say({ msg: 'deciding', memories: batch.memories.length });
      const answer = listens ? released.promise : new Promise<void>(() => undefined);
      await Promise.race([answer, ...(listens ? [aborted(options.signal)] : [])]);
      return rules.propose(batch, options);
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
    decider:
      settings.decider === undefined || settings.decider === 'rules'
        ? createRulesDecider()
        : heldDecider(settings.decider === 'held'),
    extraServerSettings: { fsync: 'off' },
  });
  process.exit(exitCode);
} catch (thrown) {
  say({ msg: 'failed', error: errorMessage(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
  process.exit(1);
}
