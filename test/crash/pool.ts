/** Things that are taken, used and given back; who comes too late waits. */
export function createPool<T>() {
  const free: T[] = [];
  const waiting: ((item: T) => void)[] = [];
  return {
    give(item: T): void {
      const next = waiting.shift();
      if (next) next(item);
      else free.push(item);
    },
    take(): Promise<T> {
      const item = free.shift();
      return item === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(item);
    },
  };
}
