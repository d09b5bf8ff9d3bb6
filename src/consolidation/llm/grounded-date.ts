import type { BatchMemory } from '../decider.ts';
import { saidAt } from '../validators/judged-op.ts';
import { extractValues } from '../values/extract-values.ts';
import type { DateValue } from '../values/value.ts';

const dayMs = 86_400_000;

/** When what a memory says held, by its own times. */
export function heldAt(memory: BatchMemory): Date | null {
  return memory.occurredStart ?? memory.mentionedAt;
}

/** The first time at which any of the memories held; null: none of them has one. */
export function firstHeld(memories: readonly BatchMemory[]): Date | null {
  const times = memories.flatMap((memory) => heldAt(memory)?.getTime() ?? []);
  return times.length === 0 ? null : new Date(Math.min(...times));
}

/**
 * The date that a model wrote, if a memory that it cites gives that day, in its text or by its times; else null. Order in
 * time decides what is hidden, so a date that nobody told may not.
 *
 * @param written `2026-03-05`, `2026-03` or `2026`; a time of day behind it is not looked at
 */
export function groundedDate(written: string | null, memories: readonly BatchMemory[]): Date | null {
  const match = /^\s*(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ].*)?)?)?\s*$/u.exec(written ?? '');
  if (!match) return null;
  const [, year = '', month, day] = match;
  const start = new Date(`${year}-${month ?? '01'}-${day ?? '01'}T00:00:00Z`);
  // 31 June rolls over, and is no day.
  if (Number.isNaN(start.getTime()) || start.getUTCMonth() + 1 !== Number(month ?? '01')) return null;
  const prefix = [year, month, day].filter((part) => part !== undefined).join('-');
  for (const memory of memories) {
    // The instant itself, where it is known: two statements of one day are in order by it.
    const instant = [memory.occurredStart, memory.mentionedAt, memory.occurredEnd].find((time) =>
      time?.toISOString().startsWith(prefix),
    );
    if (instant) return instant;
  }
  const told = memories.some((memory) => {
    const said = saidAt(memory);
    const text = memory.context === null ? memory.text : `${memory.text} ${memory.context}`;
    return extractValues(text, said).dates.some((date) => gives(date, start, prefix, said));
  });
  return told ? start : null;
}

/** Whether a date of a text means the period that begins at `start` and is written `prefix`. */
function gives(date: DateValue, start: Date, prefix: string, said: Date | null): boolean {
  const { year, month, day, weekday } = date;
  const parts = prefix.split('-').length;
  const sameMonth = month === null || month === start.getUTCMonth() + 1;
  const sameDay = day === null ? parts < 3 || start.getUTCDate() === 1 : day === start.getUTCDate();
  // A year alone begins in January, a month on its first.
  const begins = month !== null || parts === 1 || start.getUTCMonth() === 0;
  if (year !== null) return year === start.getUTCFullYear() && sameMonth && sameDay && begins;
  if (said === null) return false;
  const days = (start.getTime() - said.getTime()) / dayMs;
  // "On 5 March" is the one last past or next to come.
  if (month !== null) return sameMonth && sameDay && Math.abs(days) < 367;
  if (weekday !== null) return parts === 3 && (start.getUTCDay() || 7) === weekday && Math.abs(days) < 8;
  // "Last Friday", "last week": the value knows the week in which it was said.
  const monday = /\d{4}-\d{2}-\d{2}$/u.exec(date.key);
  const since = monday ? (start.getTime() - Date.parse(monday[0])) / dayMs : Number.NaN;
  return parts === 3 && since >= -7 && since < 14;
}
