import type { ObservationImage } from '../store/change-ops.ts';
import type { Link } from '../store/observations.ts';
import type { MemoryRef } from './plan.ts';

/** Small truths about rows of observations, as values. */

/** The bounds of an observation are those of all that supports it; evidence that dates it dates it from then on. */
export function widened(
  image: ObservationImage,
  memories: readonly MemoryRef[],
): Pick<ObservationImage, 'validFrom' | 'occurredStart' | 'occurredEnd'> {
  return {
    validFrom: extreme('earliest', [image.validFrom, ...memories.map((memory) => memory.heldAt)]),
    occurredStart: extreme('earliest', [image.occurredStart, ...memories.map((memory) => memory.occurredStart)]),
    occurredEnd: extreme('latest', [
      image.occurredEnd,
      ...memories.map((memory) => memory.occurredEnd ?? memory.occurredStart),
    ]),
  };
}

function extreme(which: 'earliest' | 'latest', times: readonly (Date | string | null)[]): string | null {
  const known = times.filter((time) => time !== null).map((time) => new Date(time).getTime());
  if (known.length === 0) return null;
  return new Date(which === 'earliest' ? Math.min(...known) : Math.max(...known)).toISOString();
}

/** Whether others can lean on it: live, and its evidence intact. */
export function isShown(image: ObservationImage): boolean {
  return [image.supersededBy, image.canonicalId, image.retiredAt, image.needsReplanAt].every((mark) => mark === null);
}

export function sameImage(a: ObservationImage, b: ObservationImage): boolean {
  return (Object.keys(a) as (keyof ObservationImage)[]).every((key) => a[key] === b[key]);
}

/** Alike in all but the version, which only grows and so never comes back (law L22). */
export function sameContent(a: ObservationImage, b: ObservationImage): boolean {
  return sameImage(a, { ...b, version: a.version });
}

export function linkKey(link: Pick<Link, 'observationId' | 'memoryId'>): string {
  return `${link.observationId}/${link.memoryId}`;
}
