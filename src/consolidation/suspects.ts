import type { PastReplan, SeenRow, ShownReplan } from '../store/attempts.ts';

/** The end of one past attempt that named a memory, newest first in a list. */
export interface AttemptEnd {
  readonly size: number;
  readonly crashed: boolean;
}

export type Suspicion =
  /** Goes into any batch. */
  | { readonly kind: 'none' }
  /** Was in two crashes in a row: decided with nothing else in flight, in a batch of at most this size. */
  | { readonly kind: 'suspect'; readonly batchLimit: number }
  /** Killed the process twice with no other memory in the batch. */
  | { readonly kind: 'guilty' };

/**
 * One crash says nothing: a deploy, a power cut or a neighbour looks the same. Two in a row accuse; halving finds the
 * one that does it without giving up on its neighbours.
 */
export function suspicionOf(ends: readonly AttemptEnd[]): Suspicion {
  const firstSurvived = ends.findIndex((end) => !end.crashed);
  const crashes = firstSurvived === -1 ? ends : ends.slice(0, firstSurvived);
  const last = crashes[0];
  if (!last || crashes.length < 2) return { kind: 'none' };
  if (crashes.length >= 2 && crashes[0]?.size === 1 && crashes[1]?.size === 1) return { kind: 'guilty' };
  return { kind: 'suspect', batchLimit: Math.max(1, Math.floor(last.size / 2)) };
}

/** jsonb does not keep the order of keys. */
const seen = ({ id, version }: SeenRow) => [id, version];

/**
 * The same of an observation that a model writes again: first beside others, then with nothing else in flight. What was
 * tried over another text or other evidence says nothing about this one.
 *
 * @param past newest first
 */
export function replanSuspicionOf(about: ShownReplan, past: readonly PastReplan[]): Suspicion['kind'] {
  const key = ({ replan, memories }: ShownReplan) => JSON.stringify([seen(replan), memories.map(seen)]);
  const same = past.filter(
    (attempt) => attempt.shown.replan.id === about.replan.id && key(attempt.shown) === key(about),
  );
  return suspicionOf(same.map(({ shown, crashed }) => ({ size: shown.alone ? 1 : 2, crashed }))).kind;
}
