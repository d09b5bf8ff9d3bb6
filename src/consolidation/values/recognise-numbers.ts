import { numberWordAt, ordinalWordAt, smallNumber } from './number-words.ts';
import { currencyAt, type Unit, unitAt } from './units.ts';
import { codeValue, numberValue, type Recognised } from './value.ts';

const amountPattern =
  /(?<sign>(?<=^|[\s(])-)?(?<digits>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d{1,3}(?:'\d{3})+(?!\d)|\d+(?:\.\d+)?|\d+)/uy;
const decimalComma = /(\d+),(\d{1,2})(?![\d,])/uy;
const fractionPattern = /(?:(\d+) )?(\d{1,2})\/(\d{1,2})(?![\p{L}\p{N}/])/uy;
const magnitude = /(k|K|M|bn)(?![\p{L}\p{N}])|\s?(?:(hundred|thousand|million|billion)(?![\p{L}\p{N}]))/uy;
const magnitudes: Readonly<Record<string, number>> = {
  k: 1e3,
  K: 1e3,
  M: 1e6,
  bn: 1e9,
  hundred: 100,
  thousand: 1e3,
  million: 1e6,
  billion: 1e9,
};
const ordinalDigits = /(\d+)(?:st|nd|rd|th)(?![\p{L}\p{N}])/iuy;
const version = /v?\d+(?:\.\d+){2,}(?:-[a-z0-9.]+)?(?![\p{L}\p{N}])/iuy;
const shortVersion = /v(\d+(?:\.\d+)?)(?![\p{L}\p{N}.])/iuy;
const phone = /\+\d[\d ()/.-]{5,24}\d/uy;
const leadingZero = /0\d+(?![\p{L}\p{N}]|[.,:]\d)/uy;
const hashNumber = /#(\d+)(?![\p{L}\p{N}])/uy;
/** Letters and digits in one word: A-4417, B12, 4b, GPT-5, x86. */
const code =
  /(?:\p{L}[\p{L}\p{N}]*(?:-\p{L}+)*-?\d[\p{L}\p{N}]*(?:-[\p{L}\p{N}]*\d[\p{L}\p{N}]*)*|\d+\p{L}[\p{L}\p{N}]*(?:-\p{L}*\d[\p{L}\p{N}]*)*)(?![\p{L}\p{N}])/uy;

/** An amount, clock time, ordinal or identifier at `position`, which must begin a word. */
export function numberAt(text: string, position: number): Recognised | null {
  return (
    codeLike(text, position) ??
    clockAt(text, position) ??
    ordinalAt(text, position) ??
    amountAt(text, position) ??
    mixedCode(text, position) ??
    amountInWords(text, position)
  );
}

function run(pattern: RegExp, text: string, position: number): RegExpExecArray | null {
  pattern.lastIndex = position;
  return pattern.exec(text);
}

function codeLike(text: string, position: number): Recognised | null {
  const hash = run(hashNumber, text, position);
  if (hash) return { value: numberValue(Number(hash[1]), 'count'), end: hashNumber.lastIndex };
  const called = run(phone, text, position);
  if (called) return { value: codeValue(called[0].replace(/[^+\d]/gu, '')), end: phone.lastIndex };
  const released = run(version, text, position);
  if (released) return { value: codeValue(released[0].replace(/^v/iu, '')), end: version.lastIndex };
  const short = run(shortVersion, text, position);
  if (short?.[1] !== undefined) return { value: versionOf(short[1]), end: shortVersion.lastIndex };
  const zero = run(leadingZero, text, position);
  return zero ? { value: codeValue(zero[0]), end: leadingZero.lastIndex } : null;
}

/** Version 4.20 is not version 4.2; version 9 is v9. */
function versionOf(digits: string) {
  return digits.includes('.') ? codeValue(digits) : numberValue(Number(digits), 'count');
}

const meridiem = /\s?(a\.?m\.?|p\.?m\.?)(?![\p{L}\p{N}])/iuy;
const clockDigits = /([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?![\d:])(?:\s?h(?![\p{L}\p{N}]))?/uy;
const clockDotted =
  /([01]?\d|2[0-4])\.([0-5]\d)(?=\s?(?:[ap]\.?m\.?|h|o'clock)(?![\p{L}\p{N}]))(?:\s?h(?![\p{L}\p{N}]))?/iuy;
const clockHour =
  /(\d{1,2}|\p{L}+)(?: o'clock|(?=\s?[ap]\.?m\.?(?![\p{L}\p{N}]))|(?= in the (?:morning|afternoon|evening)\b))/iuy;
const clockSpoken =
  /(half past|quarter past|quarter to|(?<minutes>five|ten|twenty|twenty-five|\d{1,2}) (?:minutes )?(?<side>past|to)) (?<hour>\p{L}+|\d{1,2})(?![\p{L}\p{N}]|[:.]\d)/iuy;
const clockNamed = /(noon|midday|midnight)(?![\p{L}\p{N}])/iuy;
const partOfDay = / (?:o'clock )?(?:in the (morning|afternoon|evening)|at (night))\b/iuy;

function clockAt(text: string, position: number): Recognised | null {
  const named = run(clockNamed, text, position);
  if (named) return clock(named[0].toLowerCase() === 'midnight' ? 0 : 720, clockNamed.lastIndex);
  for (const pattern of [clockDigits, clockDotted]) {
    const match = run(pattern, text, position);
    if (match) {
      const seconds = match[3] === undefined ? 0 : Number(match[3]) / 60;
      return withMeridiem(text, Number(match[1]) * 60 + Number(match[2]) + seconds, pattern.lastIndex);
    }
  }
  const spoken = run(clockSpoken, text, position);
  const spokenMinutes = spoken ? minutesSpoken(spoken) : null;
  if (spokenMinutes !== null) return withMeridiem(text, spokenMinutes, clockSpoken.lastIndex);
  const hour = run(clockHour, text, position);
  const hourNumber = hour?.[1] === undefined ? null : smallNumber(hour[1]);
  if (hourNumber === null || hourNumber > 24) return null;
  return withMeridiem(text, hourNumber * 60, clockHour.lastIndex);
}

function minutesSpoken(match: RegExpExecArray): number | null {
  const hour = smallNumber(match.groups?.hour ?? '');
  if (hour === null || hour < 1 || hour > 24) return null;
  const phrase = (match[1] ?? '').toLowerCase();
  if (phrase === 'half past') return hour * 60 + 30;
  if (phrase === 'quarter past') return hour * 60 + 15;
  if (phrase === 'quarter to') return hour * 60 - 15;
  const word = match.groups?.minutes ?? '';
  const minutes = word.toLowerCase() === 'twenty-five' ? 25 : smallNumber(word);
  // "from ten to eight" is a span more often than ten minutes before eight.
  if (minutes === null || match.groups?.side?.toLowerCase() === 'to') return null;
  return hour * 60 + minutes;
}

function withMeridiem(text: string, minutes: number, end: number): Recognised {
  const match = run(meridiem, text, end);
  const spoken = match ? null : run(partOfDay, text, end);
  const half = match?.[1]?.[0]?.toLowerCase() ?? (spoken ? (spoken[1]?.toLowerCase() === 'morning' ? 'a' : 'p') : null);
  const after = match ? meridiem.lastIndex : spoken ? partOfDay.lastIndex : end;
  if (half === 'p' && minutes < 720) return clock(minutes + 720, after);
  if (half === 'a' && minutes >= 720) return clock(minutes - 720, after);
  return clock(minutes, after);
}

function clock(minutes: number, end: number): Recognised {
  return { value: numberValue(minutes % 1440, 'clock'), end };
}

function ordinalAt(text: string, position: number): Recognised | null {
  const digits = run(ordinalDigits, text, position);
  if (digits) return { value: numberValue(Number(digits[1]), 'ordinal'), end: ordinalDigits.lastIndex };
  const word = ordinalWordAt(text, position);
  if (!word || /^-hand\b/iu.test(text.slice(word.end))) return null;
  return { value: numberValue(word.amount, 'ordinal'), end: word.end };
}

function amountAt(text: string, position: number): Recognised | null {
  const currency = currencyAt(text, position);
  const start = currency?.end ?? position;
  const fraction = run(fractionPattern, text, start);
  if (fraction) return fractionValue(text, fraction, fractionPattern.lastIndex, currency?.unit);
  const comma = run(decimalComma, text, start);
  if (comma) return finish(text, Number(`${comma[1]}.${comma[2]}`), decimalComma.lastIndex, currency?.unit);
  const match = run(amountPattern, text, start);
  const digits = match?.groups?.digits;
  if (!match || digits === undefined) return null;
  const end = amountPattern.lastIndex;
  if (/(?:version|release) $/iu.test(text.slice(Math.max(0, position - 9), position)) && digits.includes('.')) {
    return { value: codeValue(digits), end };
  }
  if (/^\d{1,3}\.\d{3}$/u.test(digits)) return groupedOrDecimal(text, digits, end, currency?.unit);
  const amount = Number(digits.replace(/[,']/gu, '')) * (match.groups?.sign ? -1 : 1);
  return finish(text, amount, end, currency?.unit);
}

/** 1.500 is one and a half here and fifteen hundred there: it equals only itself. */
function groupedOrDecimal(text: string, digits: string, end: number, before: Unit | undefined): Recognised {
  const after = before ? null : unitAt(text, end);
  const dimension = (before ?? after?.unit)?.dimension ?? 'count';
  return { value: { kind: 'number', key: `${digits}? ${dimension}`, dimension, amount: null }, end: after?.end ?? end };
}

function fractionValue(text: string, match: RegExpExecArray, end: number, unit: Unit | undefined): Recognised {
  const [whole, top, bottom] = [Number(match[1] ?? 0), Number(match[2]), Number(match[3])];
  // 24/7 and 50/50 are no quotients.
  if (top >= bottom || bottom > 16) return { value: codeValue(match[0].trim()), end };
  return finish(text, whole + top / bottom, end, unit) ?? { value: codeValue(match[0].trim()), end };
}

function finish(text: string, amount: number, end: number, before: Unit | undefined): Recognised | null {
  const scaled = run(magnitude, text, end);
  const scale = magnitudes[scaled?.[1] ?? scaled?.[2] ?? ''] ?? 1;
  const scaledEnd = scaled ? magnitude.lastIndex : end;
  if (before) return { value: numberValue(amount * scale * before.factor, before.dimension), end: scaledEnd };
  const after = unitAt(text, scaledEnd);
  if (after) return { value: numberValue(amount * scale * after.unit.factor, after.unit.dimension), end: after.end };
  // Letters right behind the digits and no unit: the whole word is a code.
  if (/[\p{L}]/u.test(text[scaledEnd] ?? '')) return null;
  return { value: numberValue(amount * scale, 'count'), end: scaledEnd };
}

function mixedCode(text: string, position: number): Recognised | null {
  const match = run(code, text, position);
  return match ? { value: codeValue(match[0]), end: code.lastIndex } : null;
}

function amountInWords(text: string, position: number): Recognised | null {
  if (/^fortnights?(?![\p{L}\p{N}])/iu.test(text.slice(position, position + 11))) {
    const end = position + (text[position + 9]?.toLowerCase() === 's' ? 10 : 9);
    return { value: numberValue(14 * 86_400_000, 'duration'), end };
  }
  const words = numberWordAt(text, position);
  if (!words || /^twice/iu.test(text.slice(position, position + 5))) {
    return words ? { value: numberValue(2, 'times'), end: words.end } : null;
  }
  return finish(text, words.amount, words.end, undefined);
}
