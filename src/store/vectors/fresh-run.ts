/**
 * Shares runs of `run` without ever handing out a stale one: each call resolves with a run that began after it was
 * made. At most one runs and one waits, however many ask; joining the one that runs would miss what was committed
 * between its snapshot and the call.
 */
export function createFreshRun<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let queued: Promise<T> | undefined;

  function start(): Promise<T> {
    const started = run();
    running = started;
    const clear = () => {
      if (running === started) running = undefined;
    };
    started.then(clear, clear);
    return started;
  }

  return () => {
    if (!running) return start();
    if (!queued) {
      const next = () => {
        queued = undefined;
        // Somebody may have asked between the end of the last run and this turn: theirs began after us.
        return running ?? start();
      };
      queued = running.then(next, next);
    }
    return queued;
  };
}
