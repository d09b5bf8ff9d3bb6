/** A place among those that may go on at once. */
export interface Slots {
  /**
   * Waits for a place, first come, first served; `urgent` waits only behind others that are. What it returns gives the place
   * back, once, however often it is called.
   *
   * @throws the signal's reason, having taken no place
   */
  acquire(options: { readonly signal: AbortSignal; readonly urgent?: boolean }): Promise<() => void>;
  /** From now on; places that are taken beyond it are not taken back. */
  resize(max: number): void;
}

interface Waiter {
  readonly enter: () => void;
}

/** A semaphore that several gates may share: the settings limit what is in flight over all chat models of the process. */
export function createSlots(max: number): Slots {
  let limit = max;
  let taken = 0;
  const urgentLane = new Set<Waiter>();
  const lane = new Set<Waiter>();

  function letIn(): void {
    for (const waiters of [urgentLane, lane]) {
      for (const waiter of waiters) {
        if (taken >= limit) return;
        waiters.delete(waiter);
        waiter.enter();
      }
    }
  }

  function take(): () => void {
    taken += 1;
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      taken -= 1;
      letIn();
    };
  }

  return {
    async acquire({ signal, urgent = false }) {
      signal.throwIfAborted();
      // A place that is given back goes to whoever waits in the same turn, so one that is free has nobody waiting for it.
      if (taken < limit) return take();
      const waiters = urgent ? urgentLane : lane;
      const entered = Promise.withResolvers<() => void>();
      const waiter = { enter: () => entered.resolve(take()) };
      const leave = () => {
        if (waiters.delete(waiter)) entered.reject(signal.reason);
      };
      waiters.add(waiter);
      signal.addEventListener('abort', leave, { once: true });
      try {
        return await entered.promise;
      } finally {
        signal.removeEventListener('abort', leave);
      }
    },
    resize(next) {
      limit = next;
      letIn();
    },
  };
}
