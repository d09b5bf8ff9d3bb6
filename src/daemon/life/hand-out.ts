import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';

/** What an open door of the queue gives: see `DrainPort` of the sleep room. */
interface OpenDoor {
  close(options: { readonly graceMs: number }): Promise<void>;
}

export interface OpensHandOut {
  openHandOut(): OpenDoor;
}

/** Whether this process hands out jobs while nobody asks for it in particular. */
export interface HandOutSwitch {
  open(): void;
  /** Batches in flight get `graceMs`; then they are called off, and their memories stay pending. */
  close(graceMs: number): void;
  isOpen(): boolean;
  /** Resolves when what was asked for last has happened. */
  settled(): Promise<void>;
}

/**
 * Opens and closes in the order asked for, beside the tick loop: a close may take half a minute, and the daemon has to
 * hear of a wake meanwhile.
 */
export function createHandOutSwitch(deps: { readonly queue: OpensHandOut; readonly log: Log }): HandOutSwitch {
  const { queue, log } = deps;
  let door: OpenDoor | null = null;
  let closing: Promise<void> = Promise.resolve();

  return {
    open() {
      door ??= queue.openHandOut();
    },
    close(graceMs) {
      const closed = door;
      door = null;
      if (closed === null) return;
      closing = Promise.all([closing, closed.close({ graceMs })]).then(
        () => undefined,
        (thrown: unknown) => log.warn({ error: errorMessage(thrown) }, 'jobs in hand were not handed back'),
      );
    },
    isOpen: () => door !== null,
    settled: () => closing,
  };
}
