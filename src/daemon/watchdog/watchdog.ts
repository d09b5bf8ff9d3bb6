import { Worker, type WorkerOptions } from 'node:worker_threads';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { workerUrl } from '../../telemetry/worker-url.ts';
import { Vitals } from './vitals.ts';
import {
  type Pace,
  type WatchdogConfig,
  type WatchdogEvent,
  type WatchdogOrder,
  type WatchdogTimings,
  watchdogTimings,
} from './watchdog-config.ts';

export interface WatchdogOptions extends Pick<WatchdogConfig, 'socketPath' | 'logPath' | 'instanceId' | 'notify'> {
  /** Makes the control socket's file again, which somebody has removed. */
  readonly listenAgain: () => Promise<void>;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly timings?: Partial<WatchdogTimings>;
  readonly startWorker?: (options: WorkerOptions) => Worker;
}

export interface WatchdogView {
  /** A sentence; null: nobody is needed. */
  readonly needsOperator: string | null;
  /** Missed are those that count against the daemon: not while it starts or just after it was suspended. */
  readonly probes: { readonly good: number; readonly missed: number };
  readonly lastGoodAt: Date | null;
}

export interface Watchdog {
  setPace(pace: Pace): void;
  /** The loop has ticked. @param nextInMs until the next tick; null where none is scheduled, as while parked. */
  ticked(nextInMs: number | null): void;
  view(): WatchdogView;
  /** Brings the gauges up to date, for a scrape. */
  collect(): void;
  /** Nothing is held against the daemon from the call on. Safe to call twice. */
  stop(): Promise<void>;
}

/** With the default of 16, the thread had grown by 8 MB more after ten thousand probes. */
const resourceLimits = { maxYoungGenerationSizeMb: 1 };

/**
 * Starts the thread that probes the control socket and kills this process when three probes in a row go unanswered. Holds
 * the process open for nobody. A thread that dies is started once more.
 */
export function startWatchdog(options: WatchdogOptions): Watchdog {
  const { socketPath, logPath, instanceId, notify, log, metrics } = options;
  const timings = { ...watchdogTimings, ...options.timings };
  const startWorker =
    options.startWorker ?? ((given) => new Worker(workerUrl(import.meta.url, './watchdog-worker'), given));
  const vitals = new Vitals();
  let pace: Pace = 'awake';
  let needsOperator: string | null = null;
  let isSecond = false;
  let isStopped = false;
  let worker: Worker | null = null;
  let lastLoss: string | null = null;

  function tell(order: WatchdogOrder): void {
    worker?.postMessage(order);
  }

  function setNeedsOperator(text: string | null): void {
    needsOperator = text;
    metrics.needsOperator.set(text === null ? 0 : 1);
  }

  /** Whatever comes of it: a thread that gets here is not stuck, and to kill it would bring no socket back. */
  async function makeSocketAgain(): Promise<void> {
    try {
      await options.listenAgain();
      lastLoss = null;
      log.warn({ socketPath }, 'the file of the control socket was gone: made again');
    } catch (thrown) {
      const loss = errorMessage(thrown);
      if (loss !== lastLoss)
        log.error({ socketPath, error: loss }, 'nobody can connect to the control socket any more');
      lastLoss = loss;
    }
    tell('heard');
  }

  function hear(event: WatchdogEvent): void {
    switch (event.kind) {
      case 'socket_gone':
        void makeSocketAgain();
        return;
      case 'needs_operator':
        setNeedsOperator(event.text);
        if (event.text === null) log.info('the watchdog kills again where it has to: all was well for long enough');
        else log.fatal({ logPath }, event.text);
        return;
      case 'warning':
        log.warn(event.text);
        return;
    }
  }

  function ended(error: string): void {
    worker = null;
    if (isStopped) return;
    if (isSecond) {
      setNeedsOperator(`its watchdog has ended twice, nobody watches: ${error}`);
      log.error({ error }, 'the watchdog has ended again: nobody watches this process any more');
      return;
    }
    isSecond = true;
    log.warn({ error }, 'the watchdog has ended: starting it once more');
    start();
  }

  function start(): void {
    const config: WatchdogConfig = {
      socketPath,
      logPath,
      instanceId,
      timings,
      notify,
      pace,
      vitals: vitals.buffer,
    };
    let failure: string | undefined;
    try {
      worker = startWorker({ name: 'watchdog', workerData: config, resourceLimits });
    } catch (thrown) {
      ended(errorMessage(thrown));
      return;
    }
    worker.on('message', hear);
    worker.on('error', (thrown) => {
      failure = errorMessage(thrown);
    });
    worker.on('exit', (exitCode) => ended(failure ?? `it exited with code ${exitCode}`));
    worker.unref();
  }

  setNeedsOperator(null);
  start();
  return {
    setPace(next) {
      if (next === pace) return;
      pace = next;
      tell(next);
    },
    ticked: (nextInMs) => vitals.ticked(nextInMs),
    view: () => ({ needsOperator, probes: vitals.probes, lastGoodAt: vitals.lastGoodAt }),
    collect() {
      const { good, missed } = vitals.probes;
      metrics.watchdogProbes.set({ outcome: 'good' }, good);
      metrics.watchdogProbes.set({ outcome: 'missed' }, missed);
    },
    async stop() {
      isStopped = true;
      // The thread ends wherever it is, without being asked: it cannot take the closing of the socket for a miss.
      await worker?.terminate();
    },
  };
}
