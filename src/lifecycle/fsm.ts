import { type LifecycleEvent, type LifecycleState, lifecycleStates, type TransitionReason } from './states.ts';

/**
 * The whole table (law L14): the state that an event leads to, or null where it changes nothing. Down it goes one state
 * at a time, so that nothing is entered without what its predecessor is for; up in one.
 */
export function transition(from: LifecycleState, event: LifecycleEvent): LifecycleState | null {
  switch (event.kind) {
    case 'wanted':
      return from === 'wake' ? null : 'wake';
    case 'grew_drowsy':
      return from === 'wake' ? 'drowsy' : null;
    case 'fell_asleep':
      return from === 'drowsy' ? 'sleep' : null;
    case 'hibernated':
      return from === 'sleep' ? 'hibernation' : null;
  }
}

const eventInto = { drowsy: 'grew_drowsy', sleep: 'fell_asleep', hibernation: 'hibernated' } as const;

/** The events that lead down from one state to a deeper one, each to be carried out by itself; none where it is not deeper. */
export function hops(
  from: LifecycleState,
  to: Exclude<LifecycleState, 'wake'>,
  reason: TransitionReason,
): LifecycleEvent[] {
  return (['drowsy', 'sleep', 'hibernation'] as const)
    .filter((state) => depth(state) > depth(from) && depth(state) <= depth(to))
    .map((state) => ({ kind: eventInto[state], reason }));
}

function depth(state: LifecycleState): number {
  return lifecycleStates.indexOf(state);
}
