import type { Status } from '../api-types.ts';
import { secondsBetween, showSeconds } from '../duration.ts';
import { type Life, many, showReason, showTook, stateWords, stepText } from './life-words.ts';

/** What has become different since the last look, a line each; of the first look, how it is. */
export function changesBetween(previous: Status | undefined, status: Status): string[] {
  if (!previous) return [greeting(status)];
  const lines: string[] = [];
  if (previous.instance_id !== status.instance_id) lines.push(`another daemon answers: ${greeting(status)}`);
  else if (previous.condition !== status.condition) lines.push(`the daemon is ${status.condition}`);
  if (previous.life && status.life) lines.push(...lifeChanges(previous.life, status.life));
  if (previous.backups && status.backups) lines.push(...backupChanges(previous.backups, status.backups));
  lines.push(...workChanges(previous, status));
  return lines;
}

function greeting({ version, condition, life }: Status): string {
  const state = life ? `, ${stateWords[life.state]}: ${showReason(life.reason)}` : '';
  return `engramd ${version} is ${condition}${state}`;
}

function lifeChanges(before: Life, life: Life): string[] {
  const lines: string[] = [];
  if (!before.sleep_forced && life.sleep_forced) lines.push('a sleep was forced');
  if (before.state !== life.state)
    lines.push(`${stateWords[before.state]} → ${stateWords[life.state]}: ${showReason(life.reason)}`);
  if (before.parked !== life.parked) lines.push(life.parked ? 'parked' : 'no longer parked');
  if (!before.paused && life.paused) {
    const { until } = life.paused;
    lines.push(until === null ? 'paused' : `paused for ${showSeconds(secondsBetween(life.paused.since, until))}`);
  }
  if (before.paused && !life.paused) lines.push('the pause is over');
  lines.push(...cycleChanges(before, life));
  if (life.leader && before.leader?.instance_id !== life.leader.instance_id)
    lines.push(life.leader.is_self ? 'this daemon leads' : `another daemon leads: ${life.leader.instance_id}`);
  if (life.skipped !== null && before.skipped !== life.skipped) lines.push(`skipped: ${showReason(life.skipped)}`);
  if (before.skipped !== null && life.skipped === null) lines.push('nothing is skipped any more');
  if (life.needs_operator !== null && before.needs_operator !== life.needs_operator)
    lines.push(`an operator is needed: ${life.needs_operator}`);
  return lines;
}

function cycleChanges(before: Life, { cycle }: Life): string[] {
  if (!cycle) return [];
  const old = before.cycle?.id === cycle.id ? before.cycle : null;
  const lines: string[] = [];
  if (!old) lines.push(`a sleep cycle has begun (${cycle.forced ? 'forced' : showReason(cycle.trigger)})`);
  else if (!old.running && cycle.running) lines.push('the sleep cycle goes on');
  for (const step of cycle.steps) {
    const was = old?.steps.find(({ name }) => name === step.name);
    if (step.status !== (was?.status ?? 'pending')) lines.push(`${step.name} … ${stepText(step)}`);
  }
  if (cycle.finished_at !== null && (old?.finished_at ?? null) === null)
    lines.push(
      `the sleep cycle is ${cycle.outcome ?? 'over'} after ${showTook(secondsBetween(cycle.started_at, cycle.finished_at))}`,
    );
  else if (cycle.finished_at === null && old?.running && !cycle.running) lines.push('the sleep cycle is interrupted');
  return lines;
}

type Backups = NonNullable<Status['backups']>;

function backupChanges(before: Backups, backups: Backups): string[] {
  const lines: string[] = [];
  if (!before.running && backups.running) lines.push('a backup has begun');
  if (backups.last_verified_at !== null && before.last_verified_at !== backups.last_verified_at)
    lines.push(backups.unchanged ? 'nothing to back up since the last backup' : 'a backup was taken and verified');
  const { last_failure: failure } = backups;
  if (failure && before.last_failure?.at !== failure.at)
    lines.push(`a backup failed on ${failure.host}: ${failure.message}`);
  return lines;
}

function workChanges(before: Status, status: Status): string[] {
  const lines: string[] = [];
  if (before.due === 0 && status.due > 0) lines.push(`${many(status.due, 'memory is', 'memories are')} due`);
  if (before.due > 0 && status.due === 0) lines.push('nothing is due any more');
  const dead = (status.queue?.dead_letters ?? 0) - (before.queue?.dead_letters ?? 0);
  if (dead > 0) lines.push(`${many(dead, 'job')} gave up: engramd jobs list --dead`);
  for (const { model, endpoint, problem } of status.models) {
    const was = before.models.find((one) => one.model === model && one.endpoint === endpoint);
    if (problem !== null && problem !== (was?.problem ?? null)) lines.push(problem);
    if (problem === null && was && was.problem !== null) lines.push(`${model} answers again`);
  }
  return lines;
}
