import type { DueFacts, DueName, NextDue } from './due-facts.ts';

/** In the order in which those of one instant are named. */
const dueNames = [
  'work',
  'pauseEnd',
  'cycle',
  'quietHours',
  'backup',
  'snapshot',
] as const satisfies readonly DueName[];

/** What comes first, never in the past: what is overdue is due now. Null: nothing is ahead, no timer is needed. */
export function nextDue(facts: DueFacts, now: Date): NextDue | null {
  let next: NextDue | null = null;
  for (const what of dueNames) {
    const at = facts[what];
    if (at === null) continue;
    const due = at < now ? now : at;
    if (next === null || due < next.at) next = { at: due, what };
  }
  return next;
}
