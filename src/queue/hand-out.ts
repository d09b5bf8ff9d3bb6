import type { Clock } from '../telemetry/clock.ts';
import type { BankPollers } from './bank-pollers.ts';

/** Jobs are handed out for as long as somebody holds one of these. */
export interface HandOut {
  /**
   * No more jobs are handed out, unless somebody else holds one: then nothing else changes. Those in hand select no more
   * and get `graceMs`; what is in hand still is called off as by a stop: batches go back, memories stay pending, no retry
   * is burned. Resolves when nothing is in hand, or when hand-out was opened again meanwhile, which leaves the rest in
   * peace. Twice is once.
   */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/** Who wants jobs to be handed out; a count, so that nobody takes away what another one opened. */
export interface HandOuts {
  open(): HandOut;
  isOpen(): boolean;
  /** Starts what was stopped meanwhile, where somebody holds one. */
  resume(): void;
  /** As if everybody had closed at once; those that hold one hold nothing any more. */
  void(): void;
}

/** How long handlers that were called off may take to return before their jobs are handed back all the same. */
export const calledOffMs = 6000;

export function createHandOuts(deps: {
  /** Undefined while the queue is stopped, or being stopped. */
  readonly pollers: () => BankPollers | undefined;
  readonly clock: Clock;
}): HandOuts {
  const { pollers, clock } = deps;
  const holders = new Set<HandOut>();
  let reopened = new AbortController();

  async function halt(graceMs: number): Promise<void> {
    const halted = pollers();
    if (!halted) return;
    reopened = new AbortController();
    const { signal } = reopened;
    const over = new AbortController();
    const returned = Promise.all([halted.consolidate.halt(), halted.embed.halt()]);
    await Promise.race([returned, clock.sleep(graceMs, AbortSignal.any([over.signal, signal]))]);
    over.abort();
    if (signal.aborted) return;
    await Promise.all([halted.consolidate.drain(calledOffMs), halted.embed.drain(calledOffMs)]);
  }

  function resume(): void {
    const started = pollers();
    if (holders.size === 0 || !started) return;
    started.consolidate.start();
    started.embed.start();
  }

  return {
    open() {
      let closing: Promise<void> | undefined;
      const handOut: HandOut = {
        close({ graceMs }) {
          closing ??= holders.delete(handOut) && holders.size === 0 ? halt(graceMs) : Promise.resolve();
          return closing;
        },
      };
      holders.add(handOut);
      reopened.abort();
      resume();
      return handOut;
    },
    isOpen: () => holders.size > 0,
    resume,
    void: () => holders.clear(),
  };
}
