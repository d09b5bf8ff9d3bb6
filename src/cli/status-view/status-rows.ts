import type { Status } from '../api-types.ts';
import { secondsBetween, showSeconds } from '../duration.ts';
import { showCounts } from '../op-texts.ts';
import { backupRows } from './backup-rows.ts';
import { lifeRows, type Row } from './life-rows.ts';
import { many, type Paint } from './life-words.ts';

/** The table of `engramd status`. */
export function statusRows(status: Status, now: Date, paint: Paint): Row[] {
  const { queue, pool, embedding, life } = status;
  const model = `${embedding.model}${embedding.pinned_differs ? ` (settings ask for ${embedding.configured})` : ''}`;
  return [
    ['daemon', `${status.version}, ${status.condition}, up ${showSeconds(status.uptime_seconds)}`],
    ...(life ? lifeRows(life, now, paint) : []),
    ...ageRows(status, now, paint),
    ...backupRows(status, now, paint),
    ['decider', status.decider],
    ...modelRows(status, paint),
    ['vectors', `${model}, ${status.vectors}`],
    ['banks', String(status.banks)],
    ['memories', showCounts(status.memories)],
    ['due', dueText(status)],
    ...scoreRows(status, paint),
    ['observations', `${status.observations}, ${many(status.open_conflicts, 'open conflict')}`],
    [
      'queue',
      queue === null
        ? 'not started'
        : `${many(queue.in_flight, 'job')} in flight, ${many(queue.dead_letters, 'dead letter')}`,
    ],
    ['connections', `${pool.used} used, ${pool.idle} idle, ${pool.waiting} waiting`],
  ];
}

/** A parked daemon tells what it knew; what is older than a tick is said to be. */
const freshSeconds = 45;

export function ageRows({ facts_at }: Status, now: Date, paint: Paint): Row[] {
  if (facts_at === null) return [['store', paint.yellow('not read yet')]];
  const age = secondsBetween(facts_at, now);
  return age <= freshSeconds ? [] : [['store', paint.dim(`as it was ${showSeconds(age)} ago`)]];
}

export function modelRows({ models, budget, waits_until }: Status, paint: Paint): Row[] {
  const rows: Row[] = models.map(({ model, endpoint, problem, retry_at }) => [
    'model',
    problem === null
      ? `${model} at ${endpoint}`
      : paint.red(`${problem}${retry_at === null ? '' : `; tried again at ${retry_at.slice(11, 19)} UTC`}`),
  ]);
  if (models.length > 0 && budget) rows.push(['budget', budgetText(budget)]);
  if (waits_until !== null && models.every(({ problem }) => problem === null))
    rows.push(['waits', paint.yellow(`the budget of the day is spent; work goes on at ${waits_until}`)]);
  return rows;
}

/** What waits for its score, and what is pinned: nothing where there is neither. */
export function scoreRows(status: Status, paint: Paint): Row[] {
  const { unscored, oldest_unscored_seconds: oldest, scores_parked: parked, scores_wait_until: until, pins } = status;
  const rows: Row[] = [];
  const waits =
    unscored === 0 ? [] : [`${unscored.toLocaleString('en-US')} to do, the oldest for ${showSeconds(oldest)}`];
  const givenUp = parked === 0 ? [] : [paint.yellow(`${parked} given up: \`engramd jobs retry\` tries again`)];
  if (waits.length + givenUp.length > 0) rows.push(['scores', [...waits, ...givenUp].join(', ')]);
  // A model that is out of order, and a day that is spent, have rows of their own.
  const isForMoney = status.waits_until === null && status.models.every(({ problem }) => problem === null);
  if (unscored > 0 && until !== null && isForMoney)
    rows.push(['waits', paint.yellow(`scores stop at half of the day's budget; they go on at ${until}`)]);
  if (pins.manual + pins.auto > 0) {
    const over = pins.over_cap === 0 ? '' : `, ${pins.over_cap} over the cap`;
    rows.push(['pins', `${pins.auto} automatic, ${pins.manual} by hand${over}`]);
  }
  return rows;
}

export function dueText({ due, oldest_due_seconds: oldest }: Status): string {
  return due === 0 ? 'nothing' : `${due.toLocaleString('en-US')}, the oldest for ${showSeconds(oldest)}`;
}

function budgetText({ usd, tokens, unpriced_tokens: unpriced }: NonNullable<Status['budget']>): string {
  const spent = `$${usd.spent.toFixed(4)} of $${usd.limit.toFixed(2)} today`;
  const ofTokens = tokens ?? (unpriced.spent > 0 ? unpriced : null);
  const inTokens =
    ofTokens === null
      ? ''
      : `, ${ofTokens.spent.toLocaleString('en-US')} of ${ofTokens.limit.toLocaleString('en-US')} tokens`;
  return `${spent}${inTokens}`;
}
