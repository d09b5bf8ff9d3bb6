/**
 * How much may be under way at once, over all slices of a process. Turns are given in the order in which they were asked
 * for; a slice asks for one at a time, so that slices of several banks take turns whatever each has to do.
 */
export interface Turns {
  /**
   * @returns what gives the turn back; calling it twice is calling it once
   * @throws the signal's reason
   */
  take(signal: AbortSignal): Promise<() => void>;
}

export function createTurns(max: number): Turns {
  let free = Math.max(1, max);
  const waiting: (() => void)[] = [];

  function give(): () => void {
    free -= 1;
    let isBack = false;
    return () => {
      if (isBack) return;
      isBack = true;
      free += 1;
      waiting.shift()?.();
    };
  }

  return {
    async take(signal) {
      signal.throwIfAborted();
      if (free > 0 && waiting.length === 0) return give();
      const { promise, resolve, reject } = Promise.withResolvers<() => void>();
      const grant = () => {
        signal.removeEventListener('abort', leave);
        resolve(give());
      };
      const leave = () => {
        waiting.splice(waiting.indexOf(grant), 1);
        reject(signal.reason);
      };
      waiting.push(grant);
      signal.addEventListener('abort', leave, { once: true });
      return promise;
    },
  };
}

/** Runs what is given under one key one after the other, in the order given; what is under other keys does not wait. */
export type InOrder = <T>(key: string, work: () => Promise<T>) => Promise<T>;

export function createInOrder(): InOrder {
  const last = new Map<string, Promise<unknown>>();
  return async (key, work) => {
    const mine = (last.get(key) ?? Promise.resolve()).then(work);
    const settled = mine.catch(() => undefined);
    last.set(key, settled);
    try {
      return await mine;
    } finally {
      if (last.get(key) === settled) last.delete(key);
    }
  };
}
