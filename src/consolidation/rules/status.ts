import { prepositions } from '../values/vocabulary.ts';
import type { Term } from './statement.ts';
import { sameOrder } from './word-order.ts';

/**
 * Groups of states, each parted into kinds: a thing is in one kind at a time, and two states of one kind may be true together
 * (a ticket in progress is open). Nothing is said about states of two groups: an order can be paid and shipped.
 */
const groups: readonly string[] = [
  'pending|waiting|waiting for pick up|being packed|packed|ready for pick up;shipped|dispatched|on its way|in transit|out for delivery;delivered;returned;lost;canceled|cancelled',
  'open|unresolved|reopened|in progress|in review|under review|waiting for review|blocked|on hold|incomplete|unfinished;closed|resolved|done|finished|completed|complete|merged|fixed',
  'draft|in draft|in preparation|unpublished;final|published;archived',
  'working|up|running|online|repaired|back up|back online;broken|out of order|out of service|down|offline|stopped|under repair|under maintenance',
  'free|available|vacant|in stock|back in stock;booked|fully booked|occupied|full|taken|reserved|sold out|unavailable|out of stock|in use',
  'sick|ill|on sick leave|on leave|on parental leave|on maternity leave|on paternity leave|on holiday|on vacation|on sabbatical|away;well|healthy|back|back at work',
  'for sale|on market|available;sold|off market',
  'for rent|to let;rented|rented out|let',
  'under construction|under renovation|being renovated|being built|being repaired;finished|completed|done|complete',
  'single|divorced|widowed|separated;engaged;married',
  'paid|settled;unpaid|overdue|outstanding',
  'vegetarian;vegan;pescatarian;omnivore',
  'approved|accepted|granted;rejected|declined|refused|denied;pending|undecided|under review',
  'enabled|on|active;disabled|off|inactive|suspended',
  'unlocked|open;locked|closed|shut',
];

interface Kind {
  readonly group: number;
  readonly kind: number;
}

const kindsOf = new Map<string, Kind[]>();
groups.forEach((line, group) => {
  line.split(';').forEach((states, kind) => {
    for (const state of states.split('|')) kindsOf.set(state, [...(kindsOf.get(state) ?? []), { group, kind }]);
  });
});

/** "Order 9034 is waiting for pick-up" and "has been delivered": one thing in two states that exclude each other. */
export function otherStatus(held: readonly Term[], offered: readonly Term[]): boolean {
  const [a, b] = [statusOf(held), statusOf(offered)];
  if (!a || !b || !sameOrder(a.subject, b.subject)) return false;
  const shared = a.kinds.flatMap((one) =>
    b.kinds.filter((other) => other.group === one.group).map((other) => other.kind !== one.kind),
  );
  return shared.length > 0 && shared.every(Boolean);
}

function statusOf(terms: readonly Term[]): { subject: readonly Term[]; kinds: readonly Kind[] } | null {
  // "Is working" reads as "works" here.
  if (terms.length > 1 && terms.at(-1)?.stem === 'work' && !prepositions.has(terms.at(-2)?.word ?? ''))
    return { subject: terms.slice(0, -1), kinds: kindsOf.get('working') ?? [] };
  const verb = terms.findIndex(
    (term, at) => at > 0 && (term.stem === 'be' || (term.stem === 'have' && terms[at + 1]?.word === 'been')),
  );
  if (verb < 0 || terms.some((term) => term.denied)) return null;
  const start = terms[verb]?.stem === 'have' ? verb + 2 : verb + 1;
  const state = terms.slice(start).map((term) => term.word);
  const kinds = kindsOf.get(state.join(' '));
  return kinds ? { subject: terms.slice(0, verb), kinds } : null;
}
