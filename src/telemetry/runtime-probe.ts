import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Metrics } from './metrics.ts';

/** How the event loop did lately: by how much a timer came late. */
export interface LoopDelay {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface RuntimeProbe {
  enable(): void;
  /** For a parked process: the sampling alone costs more than all else that it does. */
  disable(): void;
  /** Brings the gauges up to date, for a scrape, and begins to measure anew. */
  collect(): void;
  /** Of the last minute or less; null while it is off or has no sample yet. */
  delay(): LoopDelay | null;
}

/** A timer of 10 ms costs 0.8 % of a core, 20 ms 0.4 %, 50 ms 0.15 %. */
const resolutionMs = 50;
const windowMs = 60_000;

const percentiles = [50, 99, 100];

/**
 * What prom-client's default metrics would tell of the process, for a quarter of their cost: the event loop is sampled at
 * 20 Hz and only while awake, CPU and memory are read at a scrape.
 */
export function createRuntimeProbe({ metrics }: { readonly metrics: Metrics }): RuntimeProbe {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  let isOn = false;
  let sinceMs = performance.now();
  let before: LoopDelay | null = null;

  /** What is recorded is the distance of two samples, which is the resolution where nothing is late. */
  function percentileMs(percentile: number): number {
    const distanceMs = percentile === 100 ? histogram.max / 1e6 : histogram.percentile(percentile) / 1e6;
    return Math.max(0, distanceMs - resolutionMs);
  }

  function current(): LoopDelay | null {
    return histogram.count === 0 ? null : { p50Ms: percentileMs(50), p99Ms: percentileMs(99) };
  }

  function begin(): void {
    before = current() ?? before;
    histogram.reset();
    sinceMs = performance.now();
  }

  return {
    enable() {
      if (isOn) return;
      isOn = true;
      before = null;
      begin();
      histogram.enable();
    },
    disable() {
      isOn = false;
      histogram.disable();
      histogram.reset();
      metrics.eventLoopDelaySeconds.reset();
    },
    collect() {
      const { user, system } = process.cpuUsage();
      metrics.cpuSeconds.set({ mode: 'user' }, user / 1e6);
      metrics.cpuSeconds.set({ mode: 'system' }, system / 1e6);
      metrics.residentBytes.set(process.memoryUsage.rss());
      if (!isOn || histogram.count === 0) return;
      for (const percentile of percentiles) {
        metrics.eventLoopDelaySeconds.set({ percentile }, percentileMs(percentile) / 1000);
      }
      begin();
    },
    delay() {
      if (!isOn) return null;
      // Where nobody scrapes, the window would be as long as the daemon's life.
      if (performance.now() - sinceMs > windowMs) begin();
      return current() ?? before;
    },
  };
}
