import type { Significance } from './scorer.ts';

/** From here on a memory is pinned by itself. */
const pinnedFrom: Significance = 3;

/** A valid memory, as far as pins go. */
export interface PinCandidate {
  readonly id: string;
  /** Microseconds since the epoch: what the database tells apart has to stay apart. */
  readonly createdAtUs: number;
  readonly pin: 'manual' | 'auto' | null;
  /** Null where there is no pin. */
  readonly pinnedAtUs: number | null;
  /** A person took its pin away: only another text, or a person, pins it again. */
  readonly isUnpinned: boolean;
}

export interface PinDecision {
  /** Pinned now, in this order; one of them may be among the evicted. */
  readonly pinned: readonly string[];
  /** Had an automatic pin, and matter less in their new version. */
  readonly lost: readonly string[];
  /** Automatic pins that made room, for which one; null where there were too many before. */
  readonly evicted: readonly { readonly id: string; readonly for: string | null }[];
}

/**
 * What new scores do to the pins of a bank (DESIGN §8): one memory after the other, oldest first, what scores 3 gets an
 * automatic pin, and then the oldest automatic ones go until there are no more than `cap`, never the one just pinned and
 * never one that a person set (law L17). Pure.
 *
 * @param pins all pins of valid memories
 * @param scored may be among them
 */
export function decidePins(
  pins: readonly PinCandidate[],
  scored: readonly { readonly memory: PinCandidate; readonly significance: Significance }[],
  cap: number,
): PinDecision {
  const manual = pins.filter(({ pin }) => pin === 'manual').length;
  let autos = pins.filter(({ pin }) => pin === 'auto').toSorted(byAge);
  const below = new Set(scored.flatMap(({ memory, significance }) => (significance < pinnedFrom ? [memory.id] : [])));
  const lost = autos.filter(({ id }) => below.has(id)).map(({ id }) => id);
  autos = autos.filter(({ id }) => !below.has(id));

  const pinned: string[] = [];
  const evicted: { id: string; for: string | null }[] = [];
  const makeRoom = (newest: string | null, cause: string | null) => {
    for (const { id } of autos) {
      if (manual + autos.length <= cap) return;
      if (id === newest) continue;
      autos = autos.filter((other) => other.id !== id);
      evicted.push({ id, for: cause });
    }
  };

  const fresh = scored.filter(
    ({ memory, significance }) => significance >= pinnedFrom && memory.pin === null && !memory.isUnpinned,
  );
  for (const { memory } of fresh.toSorted((a, b) => byAge(a.memory, b.memory))) {
    pinned.push(memory.id);
    autos = [...autos, memory].toSorted(byAge);
    makeRoom(memory.id, memory.id);
  }
  // The cap was lowered, or a pin came back with its memory.
  if (pinned.length === 0) makeRoom(autos.reduce(newer, null)?.id ?? null, null);
  return { pinned, lost, evicted };
}

/** Which automatic pins make room for a pin that a person has just set. Pure. */
export function decideEvictions(pins: readonly PinCandidate[], cap: number): readonly string[] {
  const autos = pins.filter(({ pin }) => pin === 'auto').toSorted(byAge);
  return autos.slice(0, Math.max(0, pins.length - cap)).map(({ id }) => id);
}

/** As `order by created_at, id`: the server compares ids as lower-case hex. */
function byAge(one: PinCandidate, other: PinCandidate): number {
  return one.createdAtUs - other.createdAtUs || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);
}

function newer(one: PinCandidate | null, other: PinCandidate): PinCandidate {
  if (one === null) return other;
  const by = (other.pinnedAtUs ?? 0) - (one.pinnedAtUs ?? 0) || byAge(other, one);
  return by > 0 ? other : one;
}
