import type { RewriteRequest } from '../decider.ts';
import { judgeRead, readText } from './judge-pair.ts';

/**
 * Texts of the rules decider are the words of one memory. So the text stays if a source still says all of it, and becomes the
 * newest source's otherwise.
 */
export function rewriteFromSources(request: RewriteRequest): { text: string; reason: string } {
  const wanted = readText({ text: request.text, validFrom: null });
  // Dates are left out: a source edited on another day still says "yesterday" of the day it meant.
  const carries = request.sources.some(
    ({ text }) =>
      text === request.text || judgeRead(readText({ text, validFrom: null }), wanted, 1).label === 'reinforce',
  );
  if (carries) return { text: request.text, reason: 'a source still says so' };
  const newest = newestSource(request.sources);
  return { text: newest.text, reason: 'the words of the newest source left' };
}

/** Of two that cannot be compared, the one that came later: they stand oldest first. There is at least one. */
export function newestSource<Source extends { readonly mentionedAt: Date | null }>(sources: readonly Source[]): Source {
  const saidAt = (source: Source) => source.mentionedAt?.getTime() ?? Number.NEGATIVE_INFINITY;
  return sources.reduce((latest, source) => (saidAt(source) >= saidAt(latest) ? source : latest));
}
