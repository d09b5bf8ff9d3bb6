import { readIsoTime } from '../ingest/iso-time.ts';
import { ApiError } from './api-error.ts';

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const agoPattern = /^(\d{1,6})([smhdw])$/;
/** A time of day without a zone is another instant wherever it is read. */
const zonedPattern = /T.*(?:Z|[+-]\d\d(?::?\d\d)?)$/;

/** What is written with four digits of a year, and what PostgreSQL reads. */
const earliestMs = Date.parse('0001-01-01T00:00:00Z');
const latestMs = Date.parse('9999-12-31T23:59:59.999Z');

/**
 * The instant that a request means: ISO 8601 with a zone, or how long ago, `90s`, `45m`, `2h`, `3d`, `1w`.
 *
 * @throws ApiError
 */
export function instantOf(text: string, now: Date): Date {
  const [, count = '', unit = ''] = agoPattern.exec(text) ?? [];
  const lengthMs = Number(count) * (unitMs[unit as keyof typeof unitMs] ?? 0);
  if (lengthMs > 0) return bounded(now.getTime() - lengthMs, text);
  const instantMs = zonedPattern.test(text) ? readIsoTime(text) : undefined;
  if (instantMs !== undefined) return bounded(instantMs, text);
  throw new ApiError(
    400,
    'AS_OF_UNPARSABLE',
    `${JSON.stringify(text)} is no instant: expected ISO 8601 with a zone, e.g. 2026-03-02T09:00:00Z, or how long ago, e.g. 45m, 2h or 3d`,
  );
}

function bounded(instantMs: number, text: string): Date {
  if (instantMs >= earliestMs && instantMs <= latestMs) return new Date(instantMs);
  throw new ApiError(
    422,
    'AS_OF_OUT_OF_RANGE',
    `${JSON.stringify(text)} is out of range: an instant is one of the years 0001 to 9999, in UTC`,
  );
}
