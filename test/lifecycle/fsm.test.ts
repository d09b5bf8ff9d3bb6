import { describe, expect, test } from 'vitest';
import { hops, transition } from '../../src/lifecycle/fsm.ts';
import { type LifecycleEvent, type LifecycleState, lifecycleStates } from '../../src/lifecycle/states.ts';

const kinds = ['wanted', 'grew_drowsy', 'fell_asleep', 'hibernated'] as const;
const event = (kind: LifecycleEvent['kind']): LifecycleEvent => ({ kind, reason: 'idle' });
const deeper = ['drowsy', 'sleep', 'hibernation'] as const;

describe('the table', () => {
  test.each<[LifecycleState, ...(LifecycleState | null)[]]>([
    // from, then where each event leads, in the order of `kinds`
    ['wake', null, 'drowsy', null, null],
    ['drowsy', 'wake', null, 'sleep', null],
    ['sleep', 'wake', null, null, 'hibernation'],
    ['hibernation', 'wake', null, null, null],
  ])('from %s', (from, ...to) => {
    expect(kinds.map((kind) => transition(from, event(kind)))).toEqual(to);
  });
});

describe('the way down', () => {
  test('is one event a state, in their order, and none is skipped', () => {
    for (const from of lifecycleStates) {
      for (const to of deeper) {
        const events = hops(from, to, 'forced');
        let state = from;
        for (const each of events) {
          expect(each.reason).toBe('forced');
          const next = transition(state, each);
          expect(next).not.toBeNull();
          state = next ?? state;
        }
        const isDeeper = lifecycleStates.indexOf(to) > lifecycleStates.indexOf(from);
        expect(state).toBe(isDeeper ? to : from);
      }
    }
  });

  test('from WAKE to SLEEP are two', () => {
    expect(hops('wake', 'sleep', 'idle').map(({ kind }) => kind)).toEqual(['grew_drowsy', 'fell_asleep']);
    expect(hops('sleep', 'drowsy', 'idle')).toEqual([]);
  });
});
