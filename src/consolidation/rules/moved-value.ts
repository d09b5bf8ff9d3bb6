import { type Attribute, attributeOf, type ChangedValue, namedAttribute } from './attributes.ts';
import { comparable, type Slot, slotOf, widerOf } from './slot.ts';
import { sameTerm, type Term } from './statement.ts';
import type { ToldChange } from './told-change.ts';
import { sameOrder } from './word-order.ts';

/** Values that a move of a meeting or price does not touch: when something ends or up to when it counts. */
const ending = /\b(?:until|end|close|expire|from|due by)\b/u;
const homes = /^(?:live|reside|be based|be located|be headquartered)/u;

/** "Dinner has been moved to 20:30" beside "dinner is at 19:00". */
export function changeThatIsTold(held: readonly Term[], told: ToldChange): ChangedValue | null {
  const { subject } = told;
  if (held.length <= subject.length || !sameOrder(held.slice(0, subject.length), subject)) return null;
  // "950 euros a month": what both say behind the value is no part of it.
  let shared = 0;
  while (shared < told.to.length - 1 && equal(held.at(-1 - shared), told.to.at(-1 - shared))) shared++;
  return (
    (shared > 0 ? movedValue(held.slice(0, -shared), told, told.to.slice(0, -shared)) : null) ??
    movedValue(held, told, told.to)
  );
}

function movedValue(held: readonly Term[], told: ToldChange, toTerms: readonly Term[]): ChangedValue | null {
  const { subject } = told;
  const to = slotOf(toTerms);
  for (let start = subject.length + 1; start < held.length; start++) {
    const from = slotOf(held.slice(start));
    // "Is in room 2", "has moved to room 4".
    const noun = held[start - 1];
    const number = toTerms.length > 1 && equal(noun, toTerms[0]) ? slotOf(toTerms.slice(1)) : null;
    if (number && from && comparable(from, number)) return { attribute: likelyMove, from, to: number };
    if (!from || !to || !comparable(from, to)) continue;
    if (told.from.length > 0 && sameOrder(told.from, from.terms)) return { attribute: likelyMove, from, to };
    const predicate = held
      .slice(subject.length, start)
      .map((term) => term.stem)
      .join(' ');
    const attribute =
      attributeOf(predicate, from.kind, to.kind) ??
      (predicate === 'be' ? namedAttribute(subject, widerOf(from, to)) : null);
    if (attribute && fitsTheChange(attribute, told, from))
      return { attribute: { ...attribute, undated: 'conflict' }, from, to };
  }
  return to ? sharedHead(held, told, to) : null;
}

const likelyMove: Attribute = { name: 'what it moved from', kinds: [], undated: 'conflict' };

function fitsTheChange(attribute: Attribute, told: ToldChange, from: Slot): boolean {
  if (attribute.fixed) return false;
  // "Up from 900 to 950 euros": the first number leaves its unit to the second.
  const bareNumber = told.from.length === 1 && slotOf(told.from)?.kind === 'count';
  if (told.from.length > 0 && !bareNumber && !sameOrder(told.from, from.terms)) return false;
  if (told.kind === 'renamed')
    return /^be (?:called|named|titled|known)/u.test(attribute.name) || /\bname is$/u.test(attribute.name);
  if (from.kind === 'name' || from.kind === 'phrase')
    return /^(?:moved|relocated)$/u.test(told.verb) && homes.test(attribute.name);
  return !ending.test(attribute.name);
}

/** "Helga always books an aisle seat", "Helga has switched to window seats". */
function sharedHead(held: readonly Term[], told: ToldChange, to: Slot): ChangedValue | null {
  const [head, newHead] = [held.at(-1), to.terms.at(-1)];
  const from = slotOf(held.slice(-Math.max(2, to.terms.length)));
  if (told.kind !== 'moved' || !head || !newHead || to.terms.length < 2 || !from) return null;
  if (!sameTerm(head, newHead) || sameOrder(from.terms, to.terms)) return null;
  return { attribute: { name: 'choice', kinds: ['phrase', 'name'], undated: 'conflict' }, from, to };
}

function equal(a: Term | undefined, b: Term | undefined): boolean {
  return a !== undefined && b !== undefined && sameTerm(a, b);
}
