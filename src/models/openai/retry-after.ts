/** Beyond a day a server is either wrong or will be asked again anyway. */
const longestMs = 24 * 3_600_000;

interface ReadableHeaders {
  get(name: string): string | null;
}

/**
 * How long a server asks to be left alone, at most a day; null where it does not say.
 *
 * @param limited a rate limit was hit: then the headers that tell when it resets count too
 */
export function retryAfterMs(headers: ReadableHeaders | undefined, now: Date, limited: boolean): number | null {
  if (!headers) return null;
  const milliseconds = plainNumber(headers.get('retry-after-ms'));
  const asked = milliseconds ?? delayMs(headers.get('retry-after'), now);
  const waitMs = asked ?? (limited ? limitResetMs(headers, now) : null);
  return waitMs === null ? null : Math.min(Math.max(Math.ceil(waitMs), 0), longestMs);
}

/** The resets of all limits are told with each answer; those that are used up count, else the longest. */
function limitResetMs(headers: ReadableHeaders, now: Date): number | null {
  const limits = ['', '-requests', '-tokens'].flatMap((of) => {
    const resetMs = delayMs(headers.get(`x-ratelimit-reset${of}`), now);
    return resetMs === null ? [] : [{ resetMs, isUsedUp: headers.get(`x-ratelimit-remaining${of}`)?.trim() === '0' }];
  });
  const usedUp = limits.filter(({ isUsedUp }) => isUsedUp);
  const counted = usedUp.length > 0 ? usedUp : limits;
  return counted.length === 0 ? null : Math.max(...counted.map(({ resetMs }) => resetMs));
}

/** Some say it only in words: "Please retry in 23.4s", "try again in 120ms", `"retryDelay":"23s"`. */
export function retryHintMs(text: string): number | null {
  const hint = /(?:\b(?:retry|again) in |"retryDelay"\s?:\s?")(\d{1,9}(?:\.\d{1,9})?)\s?(ms|s|m|h)\b/i.exec(text);
  if (!hint) return null;
  return Math.min(Math.ceil(Number(hint[1]) * (unitMs[hint[2]?.toLowerCase() ?? ''] ?? 0)), longestMs);
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `20`, `1.5s`, `6m0s`, an HTTP date, an ISO date, seconds or milliseconds since 1970. */
function delayMs(value: string | null, now: Date): number | null {
  const text = value?.trim() ?? '';
  if (text === '') return null;
  const number = plainNumber(text);
  if (number !== null) {
    // As a length, 1e9 seconds would be 31 years: it is a point in time.
    if (number >= 1e12) return number - now.getTime();
    return number >= 1e9 ? number * 1000 - now.getTime() : number * 1000;
  }
  if (/^(?:\d+(?:\.\d+)?(?:ms|[smhd]))+$/.test(text)) {
    const parts = text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g);
    return [...parts].reduce((sum, [, count, unit]) => sum + Number(count) * (unitMs[unit ?? ''] ?? 0), 0);
  }
  // Date.parse makes a date of any words with a number behind them.
  const at = /^(?:[A-Z][a-z]{2,8}, |\d{4}-\d\d-\d\d)/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : at - now.getTime();
}

function plainNumber(text: string | null): number | null {
  return text !== null && /^-?\d{1,15}(?:\.\d{1,9})?$/.test(text.trim()) ? Number(text) : null;
}
