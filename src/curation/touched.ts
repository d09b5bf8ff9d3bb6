import { linkKey, sameContent } from '../consolidation/observation-rows.ts';
import type { LinkImage, ObservationImage } from '../store/change-ops.ts';
import type { ReviewedOp } from '../store/change-review.ts';

/** What a recorded op touched, read off its images. */
type Images = Pick<ReviewedOp, 'before' | 'after'>;

export function imagesBefore({ before }: Images): ObservationImage[] {
  return [before?.target ?? null, ...(before?.repointed ?? [])].filter((image) => image !== null);
}

/** The created one last: what else an op left may have the same id only if it is the same row. */
export function imagesAfter({ after }: Images): ObservationImage[] {
  return [after?.target ?? null, ...(after?.repointed ?? []), after?.created ?? null].filter((image) => image !== null);
}

export function createdId({ after }: Images): string | null {
  return after?.created?.id ?? null;
}

/** Links as they were and as they became, where the op made a difference. */
export function movedLinks({ before, after }: Images): {
  readonly key: string;
  readonly before: LinkImage | undefined;
  readonly after: LinkImage | undefined;
}[] {
  const was = new Map(before?.links.map((link) => [linkKey(link), link]));
  const is = new Map(after?.links.map((link) => [linkKey(link), link]));
  return [...new Set([...was.keys(), ...is.keys()])]
    .map((key) => ({ key, before: was.get(key), after: is.get(key) }))
    .filter((link) => link.before?.memoryVersion !== link.after?.memoryVersion);
}

/** Observations whose row or links the op changed. */
export function changedIds(op: Images): string[] {
  const before = new Map(imagesBefore(op).map((image) => [image.id, image]));
  const created = createdId(op);
  const rows = imagesAfter(op).filter((image) => {
    const earlier = before.get(image.id);
    return image.id === created || (earlier !== undefined && !sameContent(earlier, image));
  });
  const links = movedLinks(op).flatMap((link) => (link.after ?? link.before)?.observationId ?? []);
  return [...new Set([...rows.map((image) => image.id), ...links])];
}

/** Memories that the op took out of `pending`, in the version that it saw. */
export function settledIds(op: Pick<ReviewedOp, 'memoryIds' | 'memoryVersions' | 'sourceIds'>): Map<string, number> {
  const cited = new Set(op.sourceIds);
  return new Map(
    op.memoryIds.flatMap((id, index) => {
      const version = op.memoryVersions[index];
      return cited.has(id) || version === undefined ? [] : [[id, version] as const];
    }),
  );
}

export function conflictIds({ before, after }: Images): string[] {
  return [...(before?.conflicts ?? []), ...(after?.conflicts ?? [])].map((conflict) => conflict.id);
}

/** Ops of versions that kept less than an undo needs. */
export function isComplete(op: ReviewedOp): boolean {
  if (op.memoryVersions.length !== op.memoryIds.length) return false;
  return op.after?.conflictId == null || op.after.conflicts !== undefined;
}
