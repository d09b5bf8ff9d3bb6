import { justBefore, ordinalWordAt } from './number-words.ts';
import { relativeDateAt } from './relative-dates.ts';
import type { DateValue, Recognised } from './value.ts';

const monthNames = 'january|february|march|april|may|june|july|august|september|october|november|december';
const months = monthNames.split('|');
const monthPattern = `(?<month>${monthNames}|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec)\\b\\.?`;
const weekdayNames = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
const weekdayWord = '(?<weekday>monday|tuesday|wednesday|thursday|friday|saturday|sunday)s?';
const weekdayShort = '(?<short>Mon|Tue|Tues|Wed|Thu|Thur|Thurs|Fri|Sat|Sun)\\b\\.?';

const iso = /(?<year>\d{4})[-/.](?<month>\d{1,2})[-/.](?<day>\d{1,2})(?![\d-])(?:T(?=\d{2}:\d{2}))?/uy;
const dotted = /(?<day>\d{1,2})\.\s?(?<month>\d{1,2})\.\s?(?<year>\d{4})(?!\d)/uy;
const slashed = /(?<first>\d{1,2})(?<mark>[/-])(?<second>\d{1,2})\k<mark>(?<year>\d{4}|\d{2})(?!\d)/uy;
const dayMonth = new RegExp(
  `(?:the )?(?<day>\\d{1,2})(?:st|nd|rd|th|\\.)?(?: of)?[ -]${monthPattern}(?:,?[ -](?:of )?(?<year>\\d{4})(?!\\d))?`,
  'iuy',
);
const wordDay = new RegExp(`(?: of)? ${monthPattern}(?:,? (?<year>\\d{4})(?!\\d))?`, 'iuy');
const monthDay = new RegExp(
  `${monthPattern} (?:the )?(?<day>\\d{1,2})(?:st|nd|rd|th)?(?![\\d:.]\\d|\\d)(?:,? (?<year>\\d{4})(?!\\d))?`,
  'iuy',
);
const monthYear = new RegExp(`${monthPattern}(?:,? (?:of )?(?<year>\\d{4})(?!\\d))?`, 'iuy');
const weekday = new RegExp(`${weekdayWord}(?![\\p{L}\\p{N}])`, 'iuy');
const shortWeekday = new RegExp(weekdayShort, 'uy');
const year = /(?<year>(?:19|20)\d{2})(?![\p{L}\p{N}]|[.,:]\d)/uy;
const holiday =
  /(?<name>easter|christmas(?: eve)?|new year(?:'s)?(?: eve| day)?|halloween|thanksgiving|ramadan|eid|diwali|hanukkah|passover|pentecost|carnival)(?![\p{L}\p{N}])/iuy;
const partOfDay = /(?<name>morning|afternoon|evening|night)s?(?![\p{L}\p{N}])/iuy;
const season = /(?<name>spring|summer|autumn|winter)(?![\p{L}\p{N}])/iuy;

/**
 * A day, month, year, weekday, holiday, season, part of the day or "yesterday" at `position`, which must begin a word.
 *
 * @param saidAt resolves relative days; without it they equal only the same words.
 */
export function dateAt(text: string, position: number, saidAt: Date | null): Recognised | null {
  return (
    fullDate(text, position) ??
    spokenDate(text, position) ??
    relativeDateAt(text, position, saidAt) ??
    weekdayAt(text, position) ??
    monthAt(text, position) ??
    yearAt(text, position) ??
    namedTime(text, position)
  );
}

type Groups = Readonly<Record<string, string | undefined>>;

function run(pattern: RegExp, text: string, position: number): Groups | null {
  pattern.lastIndex = position;
  return pattern.exec(text)?.groups ?? null;
}

function fullDate(text: string, position: number): Recognised | null {
  for (const pattern of [iso, dotted]) {
    const match = run(pattern, text, position);
    const value = match ? dayOf(Number(match.year), Number(match.month), Number(match.day)) : null;
    if (value) return { value, end: pattern.lastIndex };
  }
  const match = run(slashed, text, position);
  if (!match) return null;
  const [first, second] = [Number(match.first), Number(match.second)];
  const full = Number(match.year) + (match.year?.length === 2 ? 2000 : 0);
  const end = slashed.lastIndex;
  if (first === second || second > 12) return recognised(dayOf(full, first, second), end);
  if (first > 12) return recognised(dayOf(full, second, first), end);
  // 3/5/2026 is March here and May there: it equals only itself, since either reading may be wrong.
  return recognised({ ...emptyDate, key: `${full} ${first}/${second}?`, year: full }, end);
}

function spokenDate(text: string, position: number): Recognised | null {
  const lead = weekdayLead(text, position);
  const start = lead?.end ?? position;
  const dm = run(dayMonth, text, start);
  if (dm) return recognised(partsOf(dm, lead?.weekday), dayMonth.lastIndex);
  const article = /^the /iu.exec(text.slice(start, start + 4))?.[0].length ?? 0;
  const ordinal = ordinalWordAt(text, start + article);
  const named = ordinal ? run(wordDay, text, ordinal.end) : null;
  if (ordinal && named)
    return recognised(partsOf({ ...named, day: String(ordinal.amount) }, lead?.weekday), wordDay.lastIndex);
  const md = run(monthDay, text, start);
  if (md && isMonth(text, start, md.month ?? '', true))
    return recognised(partsOf(md, lead?.weekday), monthDay.lastIndex);
  return null;
}

/** "Saturday, " before a date. The weekday of a full date says nothing more and is dropped by `partsOf`. */
function weekdayLead(text: string, position: number): { weekday: number; end: number } | null {
  const found = weekdayAt(text, position);
  if (found?.value.kind !== 'date' || found.value.weekday === null) return null;
  const gap = /^,? (?:the )?(?=[\dA-Za-z])/u.exec(text.slice(found.end, found.end + 6));
  return gap ? { weekday: found.value.weekday, end: found.end + gap[0].length } : null;
}

function weekdayAt(text: string, position: number): Recognised | null {
  const long = run(weekday, text, position);
  if (long)
    return recognised(weekdayValue(weekdayNames.indexOf((long.weekday ?? '').toLowerCase()) + 1), weekday.lastIndex);
  const short = run(shortWeekday, text, position);
  const end = shortWeekday.lastIndex;
  if (!short) return null;
  // Sun and Sat are words too: only beside a preposition, a number or another weekday.
  const placed = /(?:\b(?:on|every|each|until|till|from|to|by|and)|[,/-]) ?$/iu.test(justBefore(text, position));
  if (!placed && !/^,? ?\d|^ ?[-/]/u.test(text.slice(end))) return null;
  const index = weekdayNames.findIndex((name) => name.startsWith((short.short ?? '').toLowerCase().slice(0, 3)));
  return recognised(weekdayValue(index + 1), end);
}

function monthAt(text: string, position: number): Recognised | null {
  const match = run(monthYear, text, position);
  if (!match || !isMonth(text, position, match.month ?? '', match.year !== undefined)) return null;
  return recognised(partsOf(match, undefined), monthYear.lastIndex);
}

/** `may` and `march` are verbs, `mar`, `sep` and others may be anything: they need a sign that a month is meant. */
function isMonth(text: string, position: number, name: string, numbered: boolean): boolean {
  const doubtful = name.length <= 4 || /^(?:march|august)$/iu.test(name);
  if (!doubtful || /^(?:june|july)$/iu.test(name)) return true;
  const capital = /^\p{Lu}/u.test(name);
  if (numbered && (capital || !/^(?:may|mar)$/iu.test(name))) return true;
  const before = justBefore(text, position);
  if (
    /\b(?:in|since|until|till|by|during|of|for|from|to|end|early|late|mid|last|next|this|every|before|after)[ -]$/iu.test(
      before,
    )
  ) {
    return capital || name.length >= 5 || / (?:in|since|of) $/iu.test(` ${before}`);
  }
  return capital && name.length >= 5 && /\p{L}[,;]? $/u.test(before);
}

function yearAt(text: string, position: number): Recognised | null {
  const match = run(year, text, position);
  if (
    !match ||
    !/(?:\b(?:in|since|until|till|by|from|to|of|for|during|before|after|through|end|early|late|mid|spring|summer|autumn|winter|easter|christmas|year)[ -]|[(/] ?)$/iu.test(
      justBefore(text, position),
    )
  ) {
    return null;
  }
  return recognised({ ...emptyDate, key: match.year ?? '', year: Number(match.year) }, year.lastIndex);
}

function namedTime(text: string, position: number): Recognised | null {
  for (const pattern of [holiday, season, partOfDay]) {
    const match = run(pattern, text, position);
    const name = match?.name?.toLowerCase();
    if (name !== undefined) return recognised({ ...emptyDate, key: name }, pattern.lastIndex);
  }
  return null;
}

function recognised(value: DateValue | null, end: number): Recognised | null {
  return value ? { value, end } : null;
}

const emptyDate = { kind: 'date', year: null, month: null, day: null, weekday: null, relative: false } as const;

function weekdayValue(number: number): DateValue {
  return { ...emptyDate, key: `weekday ${number}`, weekday: number };
}

function partsOf(match: Groups, weekdayNumber: number | undefined): DateValue | null {
  const month = months.findIndex((name) => name.startsWith((match.month ?? '-').toLowerCase().slice(0, 3))) + 1;
  const day = match.day === undefined ? null : Number(match.day);
  const fullYear = match.year === undefined ? null : Number(match.year);
  if (day !== null && fullYear !== null) return dayOf(fullYear, month, day);
  if (day !== null && (day < 1 || day > 31)) return null;
  const weekdayPart = weekdayNumber ?? null;
  const key = [fullYear ?? '', month, day ?? '', weekdayPart ?? ''].join('-');
  return { ...emptyDate, key, year: fullYear, month, day, weekday: weekdayPart };
}

/** A calendar day; null for the 31st of June. */
export function dayOf(fullYear: number, month: number, day: number): DateValue | null {
  const date = new Date(Date.UTC(fullYear, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null;
  return { ...emptyDate, key: date.toISOString().slice(0, 10), year: fullYear, month, day };
}
