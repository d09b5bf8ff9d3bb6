import type { ReEmbedder } from '../ingest/re-embed.ts';
import type { PinnedEmbedder } from '../models/embeddings/pinned-embedder.ts';
import { RetryLaterError } from '../models/provider-errors.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';

/** As often as the heartbeat: a few statements by index. */
const everyMs = 10_000;
/** An endpoint that is down is its breaker's business; this only bounds how long a cancelled switch is waited for. */
const longestWaitMs = 60_000;

export interface SwitchLoop {
  start(): void;
  /** Whether the last look found rows to embed, and did, or another daemon at it. */
  isBusy(): boolean;
  /** Looks now: a switch has been asked for. */
  nudge(): void;
  /** Ends after the chunk under way, which is called off. May be started again. */
  stop(): Promise<void>;
}

/**
 * Carries a change of the embedding model through while the old one serves, and notices one that another process has
 * carried through. Chunks of 64 texts with a turn for others between them; a query overtakes a chunk at the embedder.
 */
export function createSwitchLoop(deps: {
  readonly reEmbedder: ReEmbedder;
  readonly embedder: PinnedEmbedder;
  readonly clock: Clock;
  readonly log: Log;
}): SwitchLoop {
  const { reEmbedder, embedder, clock, log } = deps;
  let stopped = new AbortController();
  let looping: Promise<void> | undefined;
  let woken = new AbortController();
  let lastError: string | null = null;
  let isBusy = false;

  /** @returns how long to wait before the next look. */
  async function look(): Promise<number> {
    try {
      await embedder.current();
      const step = await reEmbedder.step(stopped.signal);
      lastError = null;
      isBusy = step.kind === 'embedded' || step.kind === 'elsewhere';
      switch (step.kind) {
        case 'none':
        case 'elsewhere':
          return everyMs;
        case 'embedded':
          return 0;
        case 'switched':
          await embedder.current();
          return everyMs;
        default:
          return step satisfies never;
      }
    } catch (thrown) {
      isBusy = false;
      if (stopped.signal.aborted) return 0;
      const message = errorMessage(thrown);
      // Once and not each time: an endpoint that is down for a night is one line.
      if (message !== lastError) log.warn({ error: message }, 'embeddings are not made at the moment');
      lastError = message;
      if (!(thrown instanceof RetryLaterError)) return everyMs;
      return Math.min(longestWaitMs, Math.max(1000, thrown.retryAt.getTime() - clock.now().getTime()));
    }
  }

  async function loop(): Promise<void> {
    while (!stopped.signal.aborted) {
      const waitMs = await look();
      if (waitMs > 0) await clock.sleep(waitMs, AbortSignal.any([stopped.signal, woken.signal]));
      if (woken.signal.aborted) woken = new AbortController();
    }
  }

  return {
    start() {
      if (looping) return;
      stopped = new AbortController();
      looping = loop();
    },
    isBusy: () => isBusy,
    nudge: () => woken.abort(),
    async stop() {
      stopped.abort(new Error('the daemon stops'));
      await looping;
      looping = undefined;
      await reEmbedder.release();
    },
  };
}
