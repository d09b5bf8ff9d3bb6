const minuteMs = 60_000;
/** One may be skipped, another shown twice. */
const daysAhead = 4;
/** A day that clocks cut short is gone through from before its first minute to behind its last. */
const dayMinutes = 30 * 60;

interface LocalDay {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/**
 * When the clocks of this machine show `minute` (since midnight) on the local day that comes after that of `time`. Each day
 * has it once: a time that comes twice is the first of both, one that clocks skip is where they go on, or the last minute
 * before where that is another day. A day that the date line skips has none.
 */
export function onNextDay(minute: number, time: Date): Date {
  const today = localDayOf(time);
  for (let ahead = 1; ahead <= daysAhead; ahead += 1) {
    const at = timeOfDay(minute, addDays(today, ahead));
    // Clocks that go back over midnight show a day again whose successor has begun.
    if (at !== null && at > time) return at;
  }
  throw new Error(`no clock shows minute ${minute} of a day within ${daysAhead} days after ${time.toISOString()}`);
}

function timeOfDay(minute: number, local: LocalDay): Date | null {
  // Of a time that comes twice this is the first.
  const wanted = new Date(local.year, local.month, local.day, 0, minute);
  if (isOn(local, wanted) && minuteOf(wanted) === minute) return wanted;
  let last: Date | null = null;
  for (let step = -dayMinutes; step <= dayMinutes; step += 1) {
    const at = new Date(wanted.getTime() + step * minuteMs);
    if (!isOn(local, at)) continue;
    if (minuteOf(at) >= minute) return at;
    last = at;
  }
  return last;
}

function localDayOf(time: Date): LocalDay {
  return { year: time.getFullYear(), month: time.getMonth(), day: time.getDate() };
}

function isOn({ year, month, day }: LocalDay, time: Date): boolean {
  return time.getDate() === day && time.getMonth() === month && time.getFullYear() === year;
}

function minuteOf(time: Date): number {
  return time.getHours() * 60 + time.getMinutes();
}

/** By the calendar, whatever the clocks do. */
function addDays({ year, month, day }: LocalDay, days: number): LocalDay {
  const date = new Date(Date.UTC(year, month, day + days));
  return { year: date.getUTCFullYear(), month: date.getUTCMonth(), day: date.getUTCDate() };
}
