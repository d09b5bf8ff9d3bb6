import type { LockedObservation } from '../store/apply-locks.ts';
import type { TimelineEvent } from '../store/apply-writes.ts';
import type { ChangeOpRow, ConflictImage, ObservationImage } from '../store/change-ops.ts';
import type { ChangedObservation, Link } from '../store/observations.ts';
import type { OpGroup } from './plan.ts';
import { Play } from './play-ops.ts';

/** What the store has to write so that the groups have happened. */
export interface Writes {
  readonly inserted: readonly { readonly image: ObservationImage; readonly embedding: Float32Array }[];
  readonly updated: readonly ChangedObservation[];
  readonly links: readonly Link[];
  readonly droppedLinks: readonly Link[];
  readonly conflicts: readonly ConflictImage[];
  readonly memories: readonly { readonly id: string; readonly state: 'consolidated'; readonly reason: string | null }[];
  readonly changeOps: readonly ChangeOpRow[];
  readonly events: readonly TimelineEvent[];
}

export interface CarryOutOptions {
  readonly groups: readonly OpGroup[];
  readonly locked: ReadonlyMap<string, LockedObservation>;
  /** Links, as they stand, between observations that the ops add evidence to and that evidence. */
  readonly links: readonly Link[];
  readonly changeSetId: string;
  /** Of the texts written. */
  readonly embeddingModel: string;
  readonly now: Date;
  readonly newId: () => string;
}

/**
 * Plays the ops, in their order, over the locked rows. Pure: the same rows and ops give the same writes, so that a
 * transaction that met a deadlock can simply run again.
 */
export function carryOut(options: CarryOutOptions): Writes {
  const play = new Play(options);
  options.groups.forEach((group, index) => {
    for (const op of group.ops) play.run(op, { no: index + 1, members: new Set(group.memberIds) });
  });
  return play.writes(options.groups.flatMap((group) => group.memberIds));
}
