export interface DiffPart {
  readonly kind: 'kept' | 'removed' | 'added';
  readonly text: string;
}

/** Beyond this many words a side, the table of the exact way costs more than anybody reads: 2,000² cells are 16 MB. */
const maxWords = 2000;

/**
 * What turns `before` into `after`, in runs of whole words. The parts that are not `added` join to `before`, those that
 * are not `removed` to `after`, to the letter.
 */
export function diffWords(before: string, after: string): DiffPart[] {
  const [from, to] = [words(before), words(after)];
  if (from.length > maxWords || to.length > maxWords) {
    return joined([
      { kind: 'removed', text: before },
      { kind: 'added', text: after },
    ]);
  }
  const width = to.length + 1;
  // common[i * width + j]: length of the longest common run of words of from[i…] and to[j…].
  const common = new Uint16Array((from.length + 1) * width);
  for (let i = from.length - 1; i >= 0; i -= 1) {
    for (let j = to.length - 1; j >= 0; j -= 1) {
      common[i * width + j] =
        from[i] === to[j]
          ? (common[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0);
    }
  }
  const parts: DiffPart[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    if (i < from.length && from[i] === to[j]) {
      parts.push({ kind: 'kept', text: from[i] ?? '' });
      i += 1;
      j += 1;
    } else if (
      i < from.length &&
      (j >= to.length || (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))
    ) {
      parts.push({ kind: 'removed', text: from[i] ?? '' });
      i += 1;
    } else {
      parts.push({ kind: 'added', text: to[j] ?? '' });
      j += 1;
    }
  }
  return joined(parts);
}

/** Words and the spaces and marks between them, each on its own, so that "tea." and "tea" share their word. */
function words(text: string): string[] {
  return text.match(/[\p{L}\p{N}]+|\s+|[^\p{L}\p{N}\s]/gu) ?? [];
}

function joined(parts: readonly DiffPart[]): DiffPart[] {
  const runs: { kind: DiffPart['kind']; text: string }[] = [];
  for (const part of parts) {
    const last = runs.at(-1);
    if (last?.kind === part.kind) last.text += part.text;
    else if (part.text !== '') runs.push({ ...part });
  }
  return runs;
}
