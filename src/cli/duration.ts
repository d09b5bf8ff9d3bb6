import { InvalidArgumentError } from 'commander';

const unitSeconds = { s: 1, m: 60, h: 3600 } as const;
/** 30 days, as the control plane takes it. */
const maxSeconds = 30 * 24 * 3600;

/** `90s`, `5m`, `2h` in seconds; commander makes a usage error (exit 2) of what is none, with the argument's name. */
export function parseSeconds(text: string): number {
  const [, count = '', unit = ''] = /^(\d{1,7})([smh])$/.exec(text) ?? [];
  const seconds = Number(count) * (unitSeconds[unit as keyof typeof unitSeconds] ?? 0);
  if (!(seconds >= 1 && seconds <= maxSeconds))
    throw new InvalidArgumentError('expected a duration from 1s to 720h, e.g. 90s, 5m or 2h');
  return seconds;
}

/** For a person: `12 s`, `5 min`, `3.2 h`, `4.1 d`. */
export function showSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} d`;
}

/** From one instant to another; nothing where the clocks of two machines disagree. */
export function secondsBetween(from: string | Date, to: string | Date): number {
  return Math.max(0, (new Date(to).getTime() - new Date(from).getTime()) / 1000);
}
