import type { Writable } from 'node:stream';
import type { Clock } from '../telemetry/clock.ts';
import { createPipeReaderWatch } from './status-view/pipe-reader.ts';

const everyMs = 1000;

/**
 * A signal that goes off with the given one, and when nobody reads stdout any more: `… --follow | head -3` is over with
 * head, and the next line, whose EPIPE would tell, may be days away.
 */
export function watchReader(options: {
  readonly stdout: Writable & { readonly fd: number };
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): { readonly signal: AbortSignal; close(): Promise<void> } {
  const { stdout, clock } = options;
  const over = new AbortController();
  const leave = () => over.abort();
  stdout.once('close', leave);
  const signal = AbortSignal.any([options.signal, over.signal]);
  const hasReader = createPipeReaderWatch(stdout.fd);
  const watching = (async () => {
    while (!signal.aborted) {
      await clock.sleep(everyMs, signal);
      if (!hasReader()) leave();
    }
  })();
  return {
    signal,
    async close() {
      stdout.off('close', leave);
      leave();
      await watching;
    },
  };
}
