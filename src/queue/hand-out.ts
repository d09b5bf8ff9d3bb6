import type { Clock } from '../telemetry/clock.ts';
import type { BankPollers } from './bank-pollers.ts';
import type { Poller } from './poller.ts';
import { type BankQueueName, bankQueues } from './queues.ts';

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

/** Who wants jobs to be handed out; a count a queue, so that nobody takes away what another one opened. */
export interface HandOuts {
  /** @param queues whose jobs; left out: those of all */
  open(queues?: readonly BankQueueName[]): HandOut;
  /** @param queue left out: any */
  isOpen(queue?: BankQueueName): boolean;
  /** Starts what was stopped meanwhile, where somebody holds one. */
  resume(): void;
  /** As if everybody had closed at once; those that hold one hold nothing any more. */
  void(): void;
}

/** How long handlers that were called off may take to return before their jobs are handed back all the same. */
export const calledOffMs = 6000;

const allQueues: readonly BankQueueName[] = bankQueues.map(({ name }) => name);

export function createHandOuts(deps: {
  /** Undefined while the queue is stopped, or being stopped. */
  readonly pollers: () => BankPollers | undefined;
  readonly clock: Clock;
}): HandOuts {
  const { pollers, clock } = deps;
  const gates: Readonly<Record<BankQueueName, Gate>> = {
    consolidate: createGate(() => pollers()?.consolidate, clock),
    embed: createGate(() => pollers()?.embed, clock),
    score: createGate(() => pollers()?.score, clock),
  };

  return {
    open(queues = allQueues) {
      let closing: Promise<void> | undefined;
      const handOut: HandOut = {
        close({ graceMs }) {
          closing ??= Promise.all(queues.map((queue) => gates[queue].close(handOut, graceMs))).then(() => undefined);
          return closing;
        },
      };
      for (const queue of queues) gates[queue].open(handOut);
      return handOut;
    },
    isOpen: (queue) => (queue ? [queue] : allQueues).some((name) => gates[name].isOpen()),
    resume() {
      for (const queue of allQueues) gates[queue].resume();
    },
    void() {
      for (const queue of allQueues) gates[queue].void();
    },
  };
}

/** Of one queue: its jobs are handed out while anybody holds it. */
interface Gate {
  open(holder: HandOut): void;
  close(holder: HandOut, graceMs: number): Promise<void>;
  isOpen(): boolean;
  resume(): void;
  void(): void;
}

function createGate(poller: () => Poller | undefined, clock: Clock): Gate {
  const holders = new Set<HandOut>();
  let reopened = new AbortController();

  async function halt(graceMs: number): Promise<void> {
    const halted = poller();
    if (!halted) return;
    reopened = new AbortController();
    const { signal } = reopened;
    const over = new AbortController();
    await Promise.race([halted.halt(), clock.sleep(graceMs, AbortSignal.any([over.signal, signal]))]);
    over.abort();
    if (signal.aborted) return;
    await halted.drain(calledOffMs);
  }

  function resume(): void {
    if (holders.size > 0) poller()?.start();
  }

  return {
    open(holder) {
      holders.add(holder);
      reopened.abort();
      resume();
    },
    close: (holder, graceMs) => (holders.delete(holder) && holders.size === 0 ? halt(graceMs) : Promise.resolve()),
    isOpen: () => holders.size > 0,
    resume,
    void: () => holders.clear(),
  };
}
