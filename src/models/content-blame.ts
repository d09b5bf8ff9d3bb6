/** So many different memories without anything usable from the model between them, and it is the model (law L8). */
export const unfitAfter = 3;

/** Failures that are remembered: far more than rest at once, and no leak. */
const mostRemembered = 10_000;

/**
 * Who is to blame for a request that got nothing usable (law L8): what it was about, if the model has answered about
 * something else since, else the model. What fails last in its slice, as the oldest memory alone does, is never followed
 * by an answer in time; so a failure is remembered, and the next one of the same is judged by what came since the first.
 */
export interface ContentBlame {
  /** A usable answer about these. */
  answered(subjectIds: readonly string[]): void;
  /** `unfit`: the third different one in a row that the model is to blame for. */
  failed(about: string, sentAtMs: number): 'content' | 'model' | 'unfit';
}

export function createContentBlame(nowMs: () => number): ContentBlame {
  /** Whether something else has got a usable answer since. */
  const failures = new Map<string, boolean>();
  const fruitless = new Set<string>();
  let answeredAtMs = Number.NEGATIVE_INFINITY;

  function remember(about: string): void {
    failures.delete(about);
    failures.set(about, false);
    for (const oldest of failures.keys()) {
      if (failures.size <= mostRemembered) return;
      failures.delete(oldest);
    }
  }

  return {
    answered(subjectIds) {
      answeredAtMs = nowMs();
      fruitless.clear();
      if (failures.size === 0) return;
      const own = new Set(subjectIds);
      for (const about of failures.keys()) if (!own.has(about)) failures.set(about, true);
    },
    failed(about, sentAtMs) {
      const isAnswered = answeredAtMs > sentAtMs || failures.get(about) === true;
      remember(about);
      if (isAnswered) return 'content';
      fruitless.add(about);
      if (fruitless.size < unfitAfter) return 'model';
      fruitless.clear();
      return 'unfit';
    },
  };
}
