import { type Cycle, isOver, type Life, progressText, showReason, stepText } from './life-words.ts';

export interface NightLook {
  /** Steps that have ended since the last look, a line each. */
  readonly lines: readonly string[];
  /** What goes on at the moment, for the line that is written over. */
  readonly progress: string;
  readonly end: NightEnd | undefined;
}

export type NightEnd =
  | { readonly kind: 'finished'; readonly cycle: Cycle }
  /** Somebody wanted something before the cycle was over. */
  | { readonly kind: 'woken'; readonly why: string }
  | { readonly kind: 'no_cycle'; readonly why: string };

/**
 * The state is moved and told by different daemons, one of which may hear of it late. So many looks without a trace of the
 * forced sleep, or in hibernation without its cycle, and it is taken for what it looks like.
 */
const patientLooks = 50;

/** Follows a forced sleep to the end of its cycle. `before` is how it was when the sleep was asked for. */
export function createNightWatch(before: Life): { look(life: Life): NightLook } {
  const told = new Set(
    before.cycle?.finished_at === null ? before.cycle.steps.filter(isOver).map((step) => step.name) : [],
  );
  let wasSeen = false;
  let strangeLooks = 0;

  /** The one that was open is gone on with; one that was over is not ours, and one that was given up neither. */
  function own({ cycle }: Life): Cycle | null {
    if (!cycle || cycle.outcome === 'abandoned') return null;
    return cycle.id !== before.cycle?.id || before.cycle.finished_at === null ? cycle : null;
  }

  function endOf(life: Life, cycle: Cycle | null): NightEnd | undefined {
    if (cycle && cycle.finished_at !== null) return { kind: 'finished', cycle };
    const isAsleep = life.state === 'sleep' || life.state === 'hibernation';
    if (isAsleep && life.paused && !cycle?.running)
      return { kind: 'no_cycle', why: 'the daemon is paused: engramd resume lets the cycle begin' };
    if (life.sleep_forced || life.state === 'sleep') {
      wasSeen = true;
      strangeLooks = 0;
      return undefined;
    }
    if (wasSeen && !isAsleep) return { kind: 'woken', why: showReason(life.reason) };
    strangeLooks += 1;
    if (strangeLooks < patientLooks) return undefined;
    const skipped = life.skipped === null ? '' : ` (${showReason(life.skipped)})`;
    return isAsleep
      ? { kind: 'no_cycle', why: `the daemon hibernates without a cycle${skipped}` }
      : { kind: 'no_cycle', why: `the daemon stays awake${skipped}` };
  }

  return {
    look(life) {
      const cycle = own(life);
      const ended = (cycle?.steps ?? []).filter((step) => isOver(step) && !told.has(step.name));
      for (const step of ended) told.add(step.name);
      return {
        lines: ended.map((step) => `${step.name} … ${stepText(step)}`),
        progress: progressOf(life, cycle),
        end: endOf(life, cycle),
      };
    },
  };
}

function progressOf(life: Life, cycle: Cycle | null): string {
  const step = cycle?.steps.find(({ status }) => status === 'running');
  if (step) return `${step.name} … ${progressText(step) ?? 'running'}`;
  return life.state === 'sleep' ? 'asleep, the cycle is about to begin' : 'what is under way ends first';
}
