import type { RacepointName } from '../../src/telemetry/racepoints.ts';

/** How a test wants its daemon. */
export interface DyingDaemonSettings {
  /**
   * `held` waits in each proposal until it is released or aborted; `deaf` never answers and never listens; `mortal` dies
   * of a memory that says {@link poison}; `llm` is what the daemon makes of its settings by itself.
   */
  readonly decider?: 'rules' | 'held' | 'deaf' | 'mortal' | 'llm';
  /** The rules score, whoever decides; `deaf` never answers and never listens. */
  readonly scorer?: 'rules' | 'deaf';
  /** In force from the start; as by message. */
  readonly trap?: Trap;
}

/** What happens at a visit of a point, counted from 1 since the trap was set. */
export interface Trap {
  readonly point: RacepointName;
  readonly visit: number;
  /** `gather`: whoever comes earlier waits there, and then all die together. */
  readonly does: 'die' | 'gather' | 'hold';
}

export const poison = 'poison';

export type DaemonOrder =
  | { readonly kind: 'set'; readonly trap: Trap }
  /** Lets go of whoever is held, at a point or in the decider, now and from now on. */
  | { readonly kind: 'release' };
