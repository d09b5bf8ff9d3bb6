import { setImmediate as nextTurn } from 'node:timers/promises';
import { isConnectionFailure } from '../db/errors.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { aborted } from './aborted.ts';
import { LeadershipLostError, StepHangsError, StepOverError, StepStalledError } from './errors.ts';
import type { JsonValue, SleepStep, StepContext, StepEnd } from './step.ts';

/** What somebody who wakes the daemon waits for at most. */
const interruptMs = 2000;
/**
 * A night has no slices, and yet a step that waits for what never comes must not keep the daemon asleep for ever. One that
 * has come further by then goes on from its checkpoint, as after a slice.
 */
const longestGoMs = 60 * 60_000;
/** Between slices: whoever waits for the database or a worker gets there first. */
const betweenSlicesMs = 200;
/** A step that comes no further in so many goes will not in the next one either. */
const goesWithoutHeadway = 3;

/** How far a step is, as it says itself. */
export interface Progress {
  readonly done: number | null;
  readonly total: number | null;
  readonly note: string | null;
}

export interface StepRun {
  readonly step: SleepStep;
  readonly cycleId: string;
  readonly checkpoint: JsonValue;
  readonly isForced: boolean;
  readonly signal: AbortSignal;
  readonly sliceMs: number | undefined;
  /** Commits it with the leader's fence; false: somebody else leads. */
  readonly keep: (checkpoint: JsonValue) => Promise<boolean>;
  readonly onProgress: (progress: Progress) => void;
  readonly clock: Clock;
  readonly racepoints: Racepoints;
}

export type StepRunEnd =
  | { readonly kind: 'done'; readonly note: string | null }
  | { readonly kind: 'failed'; readonly thrown: unknown; readonly stray: Stray | null }
  /** The signal ended it. */
  | { readonly kind: 'interrupted'; readonly stray: Stray | null }
  /** It came no further, slice after slice: it may need longer ones. */
  | { readonly kind: 'stalled'; readonly stray: Stray | null }
  /** The database went away, which says nothing about the step. */
  | { readonly kind: 'unreachable'; readonly thrown: unknown }
  | { readonly kind: 'lost' };

/** A step that does not listen, and runs on. Resolves when it has returned; never rejects. */
export type Stray = Promise<void>;

type GoEnd = StepEnd | { readonly kind: 'threw'; readonly thrown: unknown } | { readonly kind: 'ignores' };

/** Runs a step to its end, in goes of `sliceMs` where there is one. Never rejects. */
export async function runStep(run: StepRun): Promise<StepRunEnd> {
  const { signal, clock } = run;
  const state = { checkpoint: run.checkpoint, furthest: 0 };
  for (let idleGoes = 0; ; ) {
    const before = { ...state };
    const go = openGo(run);
    const { end, running } = await oneGo(run, state, go.signal);
    go.close();
    if (end.kind === 'done') return { kind: 'done', note: end.note ?? null };
    if (end.kind === 'threw') {
      if (end.thrown instanceof LeadershipLostError) return { kind: 'lost' };
      if (isConnectionFailure(end.thrown)) return { kind: 'unreachable', thrown: end.thrown };
      // One that is told to stop may do so by throwing.
      if (!go.signal.aborted) return { kind: 'failed', thrown: end.thrown, stray: null };
    }
    const stray = end.kind === 'ignores' ? running : null;
    const hadItsHour = run.sliceMs === undefined && go.signal.aborted;
    if (signal.aborted) return { kind: 'interrupted', stray };
    const isFurther = !isSame(before.checkpoint, state.checkpoint) || state.furthest > before.furthest;
    idleGoes = isFurther ? 0 : idleGoes + 1;
    const mostIdleGoes = hadItsHour ? 1 : goesWithoutHeadway;
    if (stray || idleGoes >= mostIdleGoes) {
      if (run.sliceMs !== undefined) return { kind: 'stalled', stray };
      // It had all the time that it wanted.
      const { name } = run.step;
      return { kind: 'failed', thrown: stray ? new StepHangsError(name) : new StepStalledError(name), stray };
    }
    await nextTurn();
    await clock.sleep(betweenSlicesMs, signal);
    if (signal.aborted) return { kind: 'interrupted', stray: null };
  }
}

/** The signal of one go: aborted with that of the run, or when its time is over. */
function openGo({ signal, sliceMs = longestGoMs, clock }: StepRun): { readonly signal: AbortSignal; close(): void } {
  const end = new AbortController();
  const abort = () => end.abort(signal.reason);
  const over = new AbortController();
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  void clock.sleep(sliceMs, over.signal).then(() => {
    if (!over.signal.aborted) end.abort(new Error('the slice is over'));
  });
  return {
    signal: end.signal,
    close() {
      over.abort();
      signal.removeEventListener('abort', abort);
    },
  };
}

async function oneGo(
  run: StepRun,
  state: { checkpoint: JsonValue; furthest: number },
  signal: AbortSignal,
): Promise<{ readonly end: GoEnd; readonly running: Stray }> {
  const { step, clock, racepoints } = run;
  const over = new AbortController();
  const context: StepContext = {
    cycleId: run.cycleId,
    signal,
    checkpoint: state.checkpoint,
    isForced: run.isForced,
    racepoints,
    async save(checkpoint) {
      if (over.signal.aborted) throw new StepOverError(step.name);
      if (!(await run.keep(checkpoint))) throw new LeadershipLostError();
      state.checkpoint = checkpoint;
      await racepoints.reach('cycle:step-saved', { step: step.name, checkpoint });
    },
    progress(done, total, note) {
      if (over.signal.aborted) return;
      state.furthest = Math.max(state.furthest, done);
      run.onProgress({ done: Math.round(done), total: total === null ? null : Math.round(total), note: note ?? null });
    },
  };
  const ended: Promise<GoEnd> = startStep(step, context).catch((thrown: unknown) => ({ kind: 'threw', thrown }));
  const ignores = aborted(signal, over.signal)
    .then(() => clock.sleep(interruptMs, over.signal))
    .then((): GoEnd => ({ kind: 'ignores' }));
  const end = await Promise.race([ended, ignores]);
  over.abort();
  return { end, running: ended.then(() => undefined) };
}

async function startStep(step: SleepStep, context: StepContext): Promise<StepEnd> {
  return step.run(context);
}

function isSame(one: JsonValue, other: JsonValue): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
