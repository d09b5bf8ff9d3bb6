import { secondsBetween, showSeconds } from '../duration.ts';
import {
  type Cycle,
  heldWords,
  isOver,
  type Life,
  many,
  nextStateWords,
  type Paint,
  showDue,
  showReason,
  showTook,
  stateWords,
  stepText,
} from './life-words.ts';

export type Row = readonly [name: string, value: string];

/** What a person wants to know of the daemon's life; nothing where there is nothing to say. */
export function lifeRows(life: Life, now: Date, paint: Paint): Row[] {
  const rows: Row[] = [];
  const add = (name: string, value: string | null) => {
    if (value !== null) rows.push([name, value]);
  };
  add('operator', life.needs_operator === null ? null : paint.red(`needed: ${life.needs_operator}`));
  add('state', stateText(life, now, paint));
  add('paused', pauseText(life, now, paint));
  add('requests', requestsText(life));
  add('next', nextText(life, now, paint));
  add('cycle', life.cycle && cycleText(life.cycle, now, paint));
  if (life.cycle && life.cycle.outcome !== 'clean')
    for (const step of life.cycle.steps) add('', `${step.name}: ${stepText(step)}`);
  add('nights', nightsText(life, now, paint));
  for (const { step, failures, until, error } of life.quarantine) {
    if (until === null) continue;
    const why = error === null ? '' : `: ${error}`;
    const left = showSeconds(secondsBetween(now, until));
    add('quarantine', paint.yellow(`${step} for another ${left}, after ${many(failures, 'failure')}${why}`));
  }
  add('leader', leaderText(life));
  add('tick', tickText(life, now, paint));
  if (life.event_loop_delay) {
    const { p50_ms, p99_ms } = life.event_loop_delay;
    add('event loop', `late by ${p50_ms.toFixed(1)} ms, at worst by ${p99_ms.toFixed(1)} ms (p50, p99)`);
  }
  if (life.last_exit) {
    add('last exit', `${showSeconds(secondsBetween(life.last_exit.at, now))} ago: ${life.last_exit.reason}`);
  }
  return rows;
}

export function stateText(life: Life, now: Date, paint: Paint): string {
  const paintState = { wake: paint.green, drowsy: paint.yellow, sleep: paint.cyan, hibernation: paint.dim }[life.state];
  const state = paint.bold(paintState(stateWords[life.state]));
  const forced = life.sleep_forced ? paint.yellow('; a forced sleep is on its way') : '';
  const parked = life.parked ? ', parked' : '';
  return `${state}${parked} for ${showSeconds(secondsBetween(life.since, now))}: ${showReason(life.reason)}${forced}`;
}

function pauseText({ paused }: Life, now: Date, paint: Paint): string | null {
  if (!paused) return null;
  const until =
    paused.until === null ? 'until engramd resume' : `for another ${showSeconds(secondsBetween(now, paused.until))}`;
  return paint.yellow(`no work is handed out, ${until}`);
}

function requestsText({ requests_in_flight: inFlight, activity_age_seconds: age }: Life): string {
  const last = age === null ? 'none yet' : `the last ${showSeconds(age)} ago`;
  return inFlight === 0 ? last : `${inFlight} in flight, ${last}`;
}

export function nextText(life: Life, now: Date, paint: Paint): string | null {
  const parts: string[] = [];
  const { idle_countdown: countdown, held_by: heldBy, next_due: due } = life;
  const held = heldBy && heldWords[heldBy];
  if (countdown) parts.push(`${nextStateWords[countdown.to]} in ${showSeconds(countdown.seconds)}`);
  if (held) parts.push(`stays ${stateWords[life.state]}: ${held}`);
  if (due) parts.push(`${showDue(due.what)} in ${showSeconds(secondsBetween(now, due.at))}`);
  return parts.length === 0 ? null : parts.join(paint.dim(' · '));
}

export function cycleText(cycle: Cycle, now: Date, paint: Paint): string {
  const done = `${cycle.steps.filter(isOver).length} of ${many(cycle.steps.length, 'step')}`;
  const trigger = cycle.forced ? 'forced' : showReason(cycle.trigger);
  if (cycle.finished_at !== null) {
    const outcome = cycle.outcome ?? 'over';
    const paintOutcome = outcome === 'clean' ? paint.green : outcome === 'failed' ? paint.red : paint.yellow;
    const took = showTook(secondsBetween(cycle.started_at, cycle.finished_at));
    return `${paintOutcome(outcome)}, ended ${showSeconds(secondsBetween(cycle.finished_at, now))} ago after ${took} (${trigger})`;
  }
  const since = showSeconds(secondsBetween(cycle.started_at, now));
  return cycle.running
    ? `${paint.cyan('running')} for ${since} (${trigger}), ${done}`
    : `interrupted, begun ${since} ago (${trigger}), ${done}`;
}

function nightsText({ cycles }: Life, now: Date, paint: Paint): string {
  const { started, completed, last_clean_at: clean, last_failed_at: failed } = cycles;
  const last =
    clean === null ? 'no clean one yet' : `the last clean one ${showSeconds(secondsBetween(clean, now))} ago`;
  const broken = failed === null ? '' : paint.red(`; the last failed ${showSeconds(secondsBetween(failed, now))} ago`);
  return `${completed} of ${many(started, 'cycle')} completed, ${last}${broken}`;
}

function leaderText({ leader }: Life): string {
  if (!leader) return 'nobody';
  return leader.is_self ? 'this daemon' : `another daemon, ${leader.instance_id}`;
}

function tickText({ last_tick_at: last, skipped }: Life, now: Date, paint: Paint): string | null {
  if (last === null && skipped === null) return null;
  const ago = last === null ? 'none yet' : `${showSeconds(secondsBetween(last, now))} ago`;
  return skipped === null ? ago : `${ago}; ${paint.yellow(`skipped: ${showReason(skipped)}`)}`;
}
