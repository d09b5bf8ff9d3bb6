/** Minutes since local midnight; `toMinute` may lie before `fromMinute`, past midnight then. */
export interface QuietHours {
  readonly fromMinute: number;
  readonly toMinute: number;
}

const minuteMs = 60_000;
/** Longer than any gap between two quiet hours: a day whose clocks skip them, and one that a change of the date line skips. */
const horizonMinutes = 4 * 24 * 60;

/** By the clocks of this machine: what they show counts, however long the night is. */
export function inQuietHours(hours: QuietHours | undefined, now: Date): boolean {
  if (!hours) return false;
  const { fromMinute, toMinute } = hours;
  const minute = now.getHours() * 60 + now.getMinutes();
  return fromMinute < toMinute ? minute >= fromMinute && minute < toMinute : minute >= fromMinute || minute < toMinute;
}

/**
 * When clocks next show quiet hours after having shown others; those at hand do not count. Looked for minute by minute
 * (a millisecond a day): where clocks are changed, the start may not exist, or twice, or lie within the gap.
 */
export function nextQuietStart(hours: QuietHours | undefined, now: Date): Date | null {
  if (!hours) return null;
  let wasQuiet = inQuietHours(hours, now);
  const firstMs = (Math.floor(now.getTime() / minuteMs) + 1) * minuteMs;
  for (let minute = 0; minute < horizonMinutes; minute += 1) {
    const at = new Date(firstMs + minute * minuteMs);
    const isQuiet = inQuietHours(hours, at);
    if (isQuiet && !wasQuiet) return at;
    wasQuiet = isQuiet;
  }
  return null;
}
