import { numberWordAt } from './number-words.ts';
import type { DateValue, Recognised } from './value.ts';

const dayMs = 86_400_000;
const namedDay =
  /(?:the )?(?<name>day before yesterday|day after tomorrow|yesterday|today|tonight|tomorrow)(?![\p{L}\p{N}])/iuy;
const namedSpan =
  /(?:the )?(?<which>last|next|this|past|coming|previous|following) (?<unit>week|weekend|month|year|night|morning|afternoon|evening|quarter|spring|summer|autumn|winter|monday|tuesday|wednesday|thursday|friday|saturday|sunday)(?![\p{L}\p{N}]| of\b)/iuy;
const ago = / (?<unit>day|week|weekend|month|year)s? ago(?![\p{L}\p{N}])/iuy;
const dayOffsets: Readonly<Record<string, number>> = {
  'day before yesterday': -2,
  yesterday: -1,
  today: 0,
  tonight: 0,
  tomorrow: 1,
  'day after tomorrow': 2,
};

/**
 * "Yesterday", "last week", "three days ago": a moment seen from where the speaker stood. Two of them are the same only
 * if they point at the same time, so the same word said a week later is another date.
 */
export function relativeDateAt(text: string, position: number, saidAt: Date | null): Recognised | null {
  const day = run(namedDay, text, position);
  const name = day?.name?.toLowerCase();
  if (name !== undefined) return { value: dayValue(name, dayOffsets[name] ?? 0, saidAt), end: namedDay.lastIndex };
  const span = run(namedSpan, text, position);
  if (span) {
    const [which, unit] = [span.which?.toLowerCase() ?? '', span.unit?.toLowerCase() ?? ''];
    return { value: spanValue(which, unit, saidAt), end: namedSpan.lastIndex };
  }
  return agoAt(text, position, saidAt);
}

function agoAt(text: string, position: number, saidAt: Date | null): Recognised | null {
  const digits = /^\d{1,3}(?!\d)/u.exec(text.slice(position, position + 4));
  const article = /^(?:an?|a few|a couple of)(?= )/iu.exec(text.slice(position, position + 12));
  const word = digits || article ? null : numberWordAt(text, position);
  const amount = digits ? Number(digits[0]) : article ? (article[0].length > 2 ? null : 1) : (word?.amount ?? null);
  const end = position + (digits?.[0].length ?? article?.[0].length ?? (word ? word.end - position : 0));
  const match = end === position ? null : run(ago, text, end);
  if (!match) return null;
  const unit = match.unit?.toLowerCase() ?? 'day';
  const after = ago.lastIndex;
  const phrase = text.slice(position, after).toLowerCase();
  if (amount === null || !saidAt) return { value: unresolved(phrase, saidAt), end: after };
  if (unit === 'day') return { value: dayValue(phrase, -amount, saidAt), end: after };
  return { value: periodBack(unit, amount, saidAt), end: after };
}

function run(pattern: RegExp, text: string, position: number): Readonly<Record<string, string | undefined>> | null {
  pattern.lastIndex = position;
  return pattern.exec(text)?.groups ?? null;
}

const empty = { kind: 'date', year: null, month: null, day: null, weekday: null, relative: false } as const;

function dayValue(phrase: string, offset: number, saidAt: Date | null): DateValue {
  if (!saidAt) return unresolved(phrase, null);
  const date = new Date(saidAt.getTime() + offset * dayMs);
  return {
    ...empty,
    key: date.toISOString().slice(0, 10),
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
  };
}

function spanValue(which: string, unit: string, saidAt: Date | null): DateValue {
  const step = which === 'this' ? 0 : which === 'next' || which === 'coming' || which === 'following' ? 1 : -1;
  if (saidAt && (unit === 'week' || unit === 'weekend' || unit === 'month' || unit === 'year')) {
    return periodBack(unit, -step, saidAt);
  }
  if (saidAt && (unit === 'night' || unit === 'morning' || unit === 'afternoon' || unit === 'evening')) {
    return { ...empty, key: `${unit} ${dayKey(saidAt, step)}` };
  }
  return unresolved(`${which} ${unit}`, saidAt);
}

function periodBack(unit: string, amount: number, saidAt: Date): DateValue {
  if (unit === 'year') {
    const year = saidAt.getUTCFullYear() - amount;
    return { ...empty, key: String(year), year };
  }
  if (unit === 'month') {
    const date = new Date(Date.UTC(saidAt.getUTCFullYear(), saidAt.getUTCMonth() - amount, 1));
    const [year, month] = [date.getUTCFullYear(), date.getUTCMonth() + 1];
    return { ...empty, key: [year, month, '', ''].join('-'), year, month };
  }
  return { ...empty, key: `${unit} of ${mondayKey(new Date(saidAt.getTime() - amount * 7 * dayMs))}` };
}

/** "Last Friday" may be this week's or the one before: it stays as said, in the week in which it was said. */
function unresolved(phrase: string, saidAt: Date | null): DateValue {
  return { ...empty, key: saidAt ? `${phrase} from ${mondayKey(saidAt)}` : phrase, relative: saidAt === null };
}

function dayKey(from: Date, offset: number): string {
  return new Date(from.getTime() + offset * dayMs).toISOString().slice(0, 10);
}

function mondayKey(date: Date): string {
  return dayKey(date, -((date.getUTCDay() + 6) % 7));
}
