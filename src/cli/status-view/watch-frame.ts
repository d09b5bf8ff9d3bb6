import type { Status } from '../api-types.ts';
import { secondsBetween, showSeconds } from '../duration.ts';
import { table } from '../table.ts';
import { backupRows } from './backup-rows.ts';
import { bar, cutLine } from './fit.ts';
import type { Row } from './life-rows.ts';
import { cycleText, lifeRows, nextText, stateText } from './life-rows.ts';
import { type Cycle, isOver, type Life, many, type Paint, type Step, stepText } from './life-words.ts';
import { ageRows, dueText, modelRows, scoreRows } from './status-rows.ts';

export interface Frame {
  /** The last answer; undefined: none yet. */
  readonly status: Status | undefined;
  /** Why the last question was not answered; null: it was. */
  readonly silence: string | null;
  /** What has changed, oldest first. */
  readonly recent: readonly { readonly at: Date; readonly text: string }[];
  readonly now: Date;
  readonly columns: number;
  readonly rows: number;
  readonly paint: Paint;
}

const barWidth = 20;
/** Less is no view. */
const mostRecent = 8;

/** The live view as lines, never more nor longer than the screen. */
export function watchFrame({ status, silence, recent, now, columns, rows, paint }: Frame): string[] {
  const head = status ? title(status, now, paint) : paint.bold('engramd');
  const body = status ? statusBody(status, now, paint) : [];
  const tail = recent.slice(-mostRecent).map(({ at, text }) => `${paint.dim(at.toTimeString().slice(0, 8))}  ${text}`);
  const warning = silence === null ? [] : [paint.red(silence), ''];
  const foot = paint.dim('Ctrl-C ends the view; the daemon goes on');
  // What has changed gives way first, then the body from below: the state stands on top.
  const room = rows - 6 - warning.length - body.length;
  const news = room >= 1 ? ['', paint.dim('changes'), ...tail.slice(-room).map((line) => `  ${line}`)] : [];
  const lines = [head, '', ...warning, ...body, ...news];
  const shown = lines.slice(0, Math.max(1, rows - 2));
  return [...shown, '', foot].slice(0, rows).map((line) => cutLine(line, columns));
}

function title({ version, condition, uptime_seconds: up }: Status, now: Date, paint: Paint): string {
  const time = now.toTimeString().slice(0, 8);
  return `${paint.bold(`engramd ${version}`)}  ${condition}, up ${showSeconds(up)}  ${paint.dim(time)}`;
}

function statusBody(status: Status, now: Date, paint: Paint): string[] {
  const { life, queue, budget } = status;
  const rows: Row[] = [];
  if (life) rows.push(...lifeSection(life, now, paint));
  rows.push(...ageRows(status, now, paint), ['due', dueText(status)], ...scoreRows(status, paint));
  if (queue) {
    const dead = queue.dead_letters === 0 ? '' : paint.yellow(`, ${many(queue.dead_letters, 'dead letter')}`);
    const waiting = queue.consolidate.ready + queue.embed.ready + queue.score.ready;
    rows.push(['queue', `${many(queue.in_flight, 'job')} in flight, ${waiting} ready${dead}`]);
  }
  rows.push(...backupRows(status, now, paint).filter(([name]) => name !== 'snapshots'));
  for (const [name, value] of modelRows(status, paint)) {
    const meter =
      name === 'budget' && budget ? `${paint.cyan(bar(budget.usd.spent, budget.usd.limit, barWidth))} ` : '';
    rows.push([name, `${meter}${value}`]);
  }
  return table(rows.map(([name, value]) => [`  ${paint.dim(name)}`, value]));
}

/** Those of the status table that move or matter, and the cycle with its steps drawn. */
function lifeSection(life: Life, now: Date, paint: Paint): Row[] {
  const all = lifeRows(life, now, paint);
  const named = (name: string) => all.filter(([own]) => own === name);
  const next = nextText(life, now, paint);
  return [
    ...named('operator'),
    ['state', stateText(life, now, paint)],
    ...named('paused'),
    ...named('requests'),
    ...(next === null ? [] : [['next', next] as const]),
    ...(life.cycle ? cycleSection(life.cycle, now, paint) : []),
    ...named('nights'),
    ...named('quarantine'),
    ...named('leader'),
    ...(life.skipped === null ? [] : named('tick')),
    ...named('event loop'),
  ];
}

function cycleSection(cycle: Cycle, now: Date, paint: Paint): Row[] {
  const text = cycleText(cycle, now, paint);
  if (cycle.finished_at !== null) return [['cycle', text]];
  const done = cycle.steps.filter(isOver).length;
  const nameWidth = Math.max(...cycle.steps.map(({ name }) => name.length));
  return [
    ['cycle', `${paint.cyan(bar(done, cycle.steps.length, barWidth))} ${text}`],
    ...cycle.steps.map((step): Row => ['', stepLine(step, nameWidth, now, paint)]),
  ];
}

function stepLine(step: Step, nameWidth: number, now: Date, paint: Paint): string {
  const name = step.name.padEnd(nameWidth);
  const line = `${name}  ${stepText(step)}`;
  switch (step.status) {
    case 'pending':
      return paint.dim(`· ${line}`);
    case 'running': {
      const meter =
        step.done !== null && step.total !== null ? `${paint.cyan(bar(step.done, step.total, barWidth))} ` : '';
      const since = step.started_at === null ? '' : paint.dim(`  ${showSeconds(secondsBetween(step.started_at, now))}`);
      return `${paint.cyan('▸')} ${paint.bold(name)}  ${meter}${stepText(step)}${since}`;
    }
    case 'done':
      return `${paint.green('✔')} ${line}`;
    case 'failed':
      return paint.red(`✖ ${line}`);
    case 'quarantined':
      return paint.yellow(`– ${line}`);
  }
}
