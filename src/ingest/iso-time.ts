const isoPattern = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?$/;

// What the table's check allows. A day from either end of the years 1 to 9999: an offset can push an instant
// out of them, and toISOString then writes a year that PostgreSQL does not read.
const earliest = Date.parse('0001-01-02T00:00:00Z');
const latest = Date.parse('9999-12-30T00:00:00Z');

/**
 * Milliseconds since the epoch of an ISO 8601 date or time, undefined for anything else and for instants before
 * 0001-01-02T00:00Z or after 9999-12-30T00:00Z. A date is its first instant, a time without a zone is UTC.
 */
export function parseIsoTime(text: string): number | undefined {
  const instant = readIsoTime(text);
  return instant === undefined || instant < earliest || instant > latest ? undefined : instant;
}

/** The same without bounds. `Date.parse` will not do: it takes 30 February for 2 March. */
export function readIsoTime(text: string): number | undefined {
  const match = isoPattern.exec(text);
  if (!match) return undefined;
  const [, year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.map((part) => Number(part ?? 0));
  // JavaScript has no leap seconds.
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) return undefined;
  const date = new Date(0);
  // Date.UTC would read the years 1 to 99 as 1901 to 1999.
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  date.setUTCHours(hour, minute, second, Number((match[7] ?? '').padEnd(3, '0').slice(0, 3)));
  const offsetMinutes = parseOffset(match[8]);
  if (offsetMinutes === undefined) return undefined;
  return date.getTime() - offsetMinutes * 60_000;
}

/** Minutes east of UTC; undefined where no place on Earth has such a clock. */
function parseOffset(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === 'Z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(3).replace(':', ''));
  if (hours > 14 || minutes > 59) return undefined;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}
