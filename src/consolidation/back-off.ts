/** After this many attempts without progress a memory is parked and waits for a person (law L5). */
export const attemptsBeforeParking = 5;

const baseMs = 5 * 60_000;
const longestMs = 24 * 3_600_000;

/**
 * How long a memory that made no progress rests: 5 min × 4ⁿ, at most 24 h, of which a random half is waited
 * (`random` in [0, 1)), so that a batch that failed together does not come back together. A length and not a time: due
 * is judged by the database's clock, and a daemon five minutes behind it would burn every attempt at once.
 *
 * @param attempts how often it had been tried before this time
 * @returns null when it is to be parked
 */
export function restMs(attempts: number, random: number): number | null {
  if (attempts + 1 >= attemptsBeforeParking) return null;
  const fullMs = Math.min(baseMs * 4 ** attempts, longestMs);
  return fullMs * (0.5 + random / 2);
}
