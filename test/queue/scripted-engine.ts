import type { ConsolidationEngine, SliceOptions, SliceReport } from '../../src/consolidation/engine.ts';

/** One call of runSlice, held until it is told how to end. */
export interface HeldSlice {
  readonly options: SliceOptions;
  end(report?: Partial<Pick<SliceReport, 'outcome' | 'retryAt'>>): void;
  fail(error: Error): void;
}

/** An engine whose slices end when the test says so, or by `script` where it is given. */
export interface ScriptedEngine extends Pick<ConsolidationEngine, 'runSlice'> {
  /** Every call so far. */
  readonly calls: readonly SliceOptions[];
  /** Slices running now, by bank. */
  readonly running: ReadonlyMap<string, number>;
  /** The largest number of slices of one bank at once. */
  readonly mostAtOnce: number;
  /** Resolves with the next slice that starts, or one that has started and was not asked for yet. */
  next(): Promise<HeldSlice>;
  /** Ends, as aborted, every slice that is still held. */
  endAll(): void;
}

type Script = (options: SliceOptions) => Promise<Partial<Pick<SliceReport, 'outcome' | 'retryAt'>>>;

/** Shared by several daemons, so that a bank's slices are counted over all of them. */
export class SliceCensus {
  readonly running = new Map<string, number>();
  mostAtOnce = 0;

  enter(bankId: string): void {
    const now = (this.running.get(bankId) ?? 0) + 1;
    this.running.set(bankId, now);
    this.mostAtOnce = Math.max(this.mostAtOnce, now);
  }

  leave(bankId: string): void {
    this.running.set(bankId, (this.running.get(bankId) ?? 1) - 1);
  }
}

export function createScriptedEngine(options: { census?: SliceCensus; script?: Script } = {}): ScriptedEngine {
  const census = options.census ?? new SliceCensus();
  const calls: SliceOptions[] = [];
  const started: HeldSlice[] = [];
  const waiting: ((slice: HeldSlice) => void)[] = [];
  const held = new Set<HeldSlice>();

  function hold(slice: SliceOptions): Promise<Partial<Pick<SliceReport, 'outcome' | 'retryAt'>>> {
    const { promise, resolve, reject } = Promise.withResolvers<Partial<Pick<SliceReport, 'outcome' | 'retryAt'>>>();
    const holding: HeldSlice = { options: slice, end: (report = {}) => resolve(report), fail: reject };
    held.add(holding);
    const taker = waiting.shift();
    if (taker) taker(holding);
    else started.push(holding);
    return promise;
  }

  return {
    calls,
    running: census.running,
    get mostAtOnce() {
      return census.mostAtOnce;
    },
    async runSlice(slice) {
      calls.push(slice);
      census.enter(slice.bankId);
      try {
        const { outcome = 'drained', retryAt = null } = await (options.script ?? hold)(slice);
        return {
          runId: '00000000-0000-7000-8000-000000000000',
          outcome,
          retryAt,
          counts: { memories: 0, batches: 0, replans: 0, ops: {}, rejected: {} },
        };
      } finally {
        census.leave(slice.bankId);
      }
    },
    endAll() {
      for (const slice of held) slice.end({ outcome: 'aborted' });
    },
    next() {
      const slice = started.shift();
      return slice ? Promise.resolve(slice) : new Promise((resolve) => waiting.push(resolve));
    },
  };
}

/** Resolves when the signal is up: a slice that obeys. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
