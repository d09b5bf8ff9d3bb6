/** The day on the clocks of this machine (its time zone), `YYYY-MM-DD`: what budgets are counted by. */
export function localDay(time: Date): string {
  const year = String(time.getFullYear()).padStart(4, '0');
  const month = String(time.getMonth() + 1).padStart(2, '0');
  return `${year}-${month}-${String(time.getDate()).padStart(2, '0')}`;
}

/**
 * When the next local day begins. By the calendar and not by adding 24 hours: two days a year have 23 or 25, and where
 * clocks go forward at midnight a day begins at one.
 */
export function nextLocalMidnight(time: Date): Date {
  return new Date(time.getFullYear(), time.getMonth(), time.getDate() + 1);
}
