export interface RecentText {
  readonly id: string;
  readonly text: string;
  readonly embedding: Float32Array;
}

/**
 * The texts that a slice has itself brought into sight, by the scope and epoch that brought them. What a create was
 * prepared before is compared with everything written since, and with dozens of batches of one scope that is what the
 * batches just ahead of it wrote: reading it back from the server was a third of all apply time, under the scope's lock.
 */
export interface RecentTexts {
  /**
   * Everything that came into sight after one epoch, up to another; null where any of it was written by somebody else.
   * May hold what has been superseded meanwhile, never less than there is.
   */
  since(scope: string, after: number, upTo: number): readonly RecentText[] | null;
  /** Only once it has committed. */
  wrote(scope: string, epoch: number, texts: readonly RecentText[]): void;
}

/** At most this many, oldest out first: 8 MB of 512 numbers each. */
const textsKept = 4096;

export function createRecentTexts(): RecentTexts {
  const written = new Map<string, readonly RecentText[]>();
  const keyOf = (scope: string, epoch: number) => `${epoch} ${scope}`;
  let kept = 0;
  return {
    since(scope, after, upTo) {
      if (upTo - after > textsKept) return null;
      const texts: RecentText[] = [];
      for (let epoch = after + 1; epoch <= upTo; epoch += 1) {
        const some = written.get(keyOf(scope, epoch));
        if (some === undefined) return null;
        texts.push(...some);
      }
      return texts;
    },
    wrote(scope, epoch, texts) {
      written.set(keyOf(scope, epoch), texts);
      kept += texts.length;
      for (const [key, oldest] of written) {
        if (kept <= textsKept) break;
        written.delete(key);
        kept -= oldest.length;
      }
    },
  };
}
