/** After this many attempts without progress a memory is parked and waits for a person (law L5). */
export const attemptsBeforeParking = 5;

const baseMs = 5 * 60_000;
const longestMs = 24 * 3_600_000;

/**
 * When a memory that made no progress is due again: 5 min × 4ⁿ, at most 24 h, of which a random half is waited
 * (`random` in [0, 1)), so that a batch that failed together does not come back together.
 *
 * @param attempts how often it had been tried before this time
 * @returns null when it is to be parked
 */
export function nextAttemptAt(now: Date, attempts: number, random: number): Date | null {
  if (attempts + 1 >= attemptsBeforeParking) return null;
  const fullMs = Math.min(baseMs * 4 ** attempts, longestMs);
  return new Date(now.getTime() + fullMs * (0.5 + random / 2));
}
