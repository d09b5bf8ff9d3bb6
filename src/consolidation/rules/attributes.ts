import type { Slot, SlotKind } from './slot.ts';

/**
 * What a thing or person has one of at a time. Only with such an attribute can a second value replace or contradict the
 * first: two hobbies are two hobbies, two birthdays are a mistake. Whatever is not listed here is kept beside.
 */
export interface Attribute {
  readonly name: string;
  readonly kinds: readonly SlotKind[];
  /** Where nothing tells which value is later: do they contradict, or may both be true? */
  readonly undated: 'conflict' | 'keep-both';
  /** A fact about the past: a later word on it is no newer value but a contradiction. */
  readonly fixed?: true;
  /** Names one occasion. If the old date had passed when the new one was told, it is the next occasion. */
  readonly occasion?: true;
  /** Replaces only with a word of change in the new text ("now", "from May on"): many have several of them. */
  readonly needsMarker?: true;
  /** The value counts what follows it ("three bedrooms"), so something must follow. */
  readonly counts?: true;
}

/** One single-valued attribute of one subject with two values. */
export interface ChangedValue {
  readonly attribute: Attribute;
  /** Null where the sentence as a whole tells of the change. */
  readonly from: Slot | null;
  readonly to: Slot | null;
}

const amounts: readonly SlotKind[] = ['amount', 'count', 'range'];
const moments: readonly SlotKind[] = ['clock', 'range', 'count'];
const days: readonly SlotKind[] = ['date', 'weekday', 'clock'];
const named: readonly SlotKind[] = ['name', 'code', 'phrase'];

/** Predicates in base form, as they stand right before the value. `be` is is and are; a participle stays as written. */
const table: readonly (readonly [predicates: string, attribute: Omit<Attribute, 'name'>])[] = [
  [
    'cost|weigh|measure|last|last for|sleep|seat|hold|contain|charge|take|need|require|allow|be worth|be priced at|be rated at|be limited to|be capped at|be restricted to|be pinned to|be set to|be set at|be fixed at|be kept for|be kept at|be retained for|be stored for|be valid for|expire after|expire in|time out after|be rotated every|be renewed every|be rebuilt every|run every|be at|stand at|sit at|amount to|be about|be around',
    { kinds: amounts, undated: 'conflict' },
  ],
  ['earn|get|receive|pay', { kinds: amounts, undated: 'keep-both' }],
  ['be', { kinds: ['amount', 'range', 'ordinal', 'clock', 'count'], undated: 'conflict' }],
  ['have|there be', { kinds: ['count', 'amount'], undated: 'conflict', counts: true }],
  [
    'open at|close at|start at|begin at|end at|finish at|run until|be open until|be open from|be served at|be served from|be rebuilt at|run at|be backed up at|be sent at|be at|be from|be closed from',
    { kinds: moments, undated: 'conflict' },
  ],
  [
    'start|start on|start in|begin on|begin in|end on|end in|end|expire on|expire in|expire|be due|be due on|be due in|be due by|be valid until|renew in|renew on|go to print on|go live on|go on sale on|run until|last until|be planned for|be planned on|be scheduled for|be scheduled on|be set for|be expected on|be expected in|be expected for|open on|close on',
    { kinds: days, undated: 'conflict', occasion: true },
  ],
  [
    'be on|take place on|take place in|be held on|be held in|be in',
    { kinds: ['date', 'weekday'], undated: 'keep-both', occasion: true },
  ],
  [
    'be collected on|be emptied on|meet on|train on|meet at|be closed on|be open on|be published on|be sent on|rehearse on|be cleaned on|be delivered on',
    { kinds: ['weekday', 'clock', 'count'], undated: 'keep-both', needsMarker: true },
  ],
  ['end in|end with|start with|begin with', { kinds: ['count', 'code'], undated: 'conflict' }],
  [
    'use version|run version|run on port|listen on port|be on port|be on version|be at version',
    { kinds: ['count', 'code'], undated: 'conflict' },
  ],
  ['be number', { kinds: ['count'], undated: 'conflict' }],
  ['be on|be in|live on', { kinds: ['ordinal'], undated: 'conflict', counts: true }],
  [
    'run until|be valid until|last until|be under warranty until|expire in|end in',
    { kinds: ['year'], undated: 'conflict' },
  ],
  [
    'be called|be named|be spelled|be spelt|be titled|be labelled|be labeled|be known as',
    { kinds: named, undated: 'conflict' },
  ],
  [
    'live in|live at|live on|reside in|be based in|be based at|be located in|be located at|be located on|be hosted in|be hosted on|be hosted at|be hosted by|be hosted with|be stored in|be stored on|be kept in|be written in|be deployed to|be deployed on|be parked in|be parked at|be headquartered in',
    { kinds: named, undated: 'conflict' },
  ],
  [
    'report to|belong to|be owned by|be run by|be led by|be managed by|be maintained by|be handled by|be triaged by|be taught by|be chaired by|be coached by|be married to|be engaged to|be assigned to',
    { kinds: ['name'], undated: 'conflict' },
  ],
  ['be with', { kinds: ['name'], undated: 'keep-both' }],
  [
    'work at|work for|work as|work from|study|study at|attend|major in|bank with|meet at|meet in|train at|train on|train in|rehearse at|rehearse in|practise at|practice at|play for|be insured with|be registered in',
    { kinds: named, undated: 'keep-both' },
  ],
  [
    'build with|deploy with|deploy to|run on|drive|commute by|host with',
    { kinds: named, undated: 'keep-both', needsMarker: true },
  ],
  [
    'was born in|was born on|was founded in|was founded on|was founded by|was built in|was discovered by|was discovered in|was invented by|was invented in',
    { kinds: ['name', 'date', 'phrase', 'year'], undated: 'conflict', fixed: true },
  ],
];

const byPredicate = new Map<string, Attribute[]>();
for (const [predicates, attribute] of table) {
  for (const name of predicates.split('|')) {
    byPredicate.set(name, [...(byPredicate.get(name) ?? []), { ...attribute, name }]);
  }
}

/** How many words a predicate has at most. */
export const longestPredicate = 4;

/** The attribute that `predicate` gives two values of these kinds, if it is a single-valued one. */
export function attributeOf(predicate: string, from: SlotKind, to: SlotKind): Attribute | null {
  return byPredicate.get(predicate)?.find(({ kinds }) => kinds.includes(from) && kinds.includes(to)) ?? null;
}

const list = (words: string): ReadonlySet<string> => new Set(words.split(' '));

/** "The head of procurement is Ms. Adler": one person holds the post. */
const posts = list(
  'head lead leader manager boss owner captain coach conductor drummer singer bassist guitarist pianist teacher tutor mentor doctor dentist pediatrician paediatrician physician vet therapist accountant lawyer notary landlord landlady tenant mayor president director principal ceo cto cfo chair chairman chairwoman chairperson secretary treasurer maintainer reviewer contact contractor supplier provider vendor caterer sponsor administrator editor author architect plumber electrician cleaner nanny babysitter assistant deputy successor predecessor moderator host speaker driver chef nurse midwife priest pastor operator curator producer agent broker consultant adviser advisor counselor counsellor supervisor instructor goalkeeper caretaker janitor receptionist gardener hairdresser barber spokesperson librarian organizer organiser trainer referee champion winner partner husband wife spouse fiance fiancee godmother godfather',
);
/** "The password is …": a thing that is told by a name, number or code. */
const labels = list(
  'name nickname surname address number phone email mail password passcode passphrase code pin port url domain hostname id version ip network branch plate account iban username login gate platform room seat desk extension track terminal channel bank insurer carrier airline hotel venue school employer company register framework database editor ide shell browser bundler compiler engine library tool registry repository license timezone',
);
/** "The status is green": a quality of which a thing has one. */
const qualities = list(
  'color status state language currency capital theme motto title job role profession occupation religion nationality breed size plan goal topic subject point place destination location position shape format font priority severity level grade rank mood diet default dress',
);
/** "The kids' favourite dinner is …", "the main office is …". */
const singling = list(
  'favorite preferred default main primary current next official usual chosen emergency middle maiden',
);

/** What the subject of "is" must be for a name or phrase behind it to be its only one; null where it may have many. */
export function namedAttribute(
  subject: readonly { readonly stem: string; readonly word: string }[],
  kind: SlotKind,
): Attribute | null {
  const preposition = subject.findIndex(
    ({ word }, at) => at > 0 && /^(?:of|for|in|at|on|with|to|from|behind)$/u.test(word),
  );
  const phrase = preposition < 0 ? subject : subject.slice(0, preposition);
  const head = phrase.at(-1)?.stem ?? '';
  const name = `${phrase.map(({ stem }) => stem).join(' ')} is`;
  const named = kind === 'name' || kind === 'code' || kind === 'count';
  if (kind === 'date' && (datedThings.has(head) || onceOnly.has(head))) {
    return {
      name,
      kinds: [kind],
      undated: 'conflict',
      ...(head === 'birthday' ? { fixed: true } : { occasion: true }),
    };
  }
  if (posts.has(head) && named) return { name, kinds: [kind], undated: 'conflict' };
  if (labels.has(head) && named) return { name, kinds: [kind], undated: 'conflict' };
  const singled = phrase.slice(0, -1).some(({ stem }) => singling.has(stem));
  if ((qualities.has(head) || singled) && (named || kind === 'phrase'))
    return { name, kinds: [kind], undated: 'conflict' };
  return null;
}

const datedThings = list(
  'deadline date day start end launch release exam opening wedding appointment departure arrival birthday due',
);

/** What must stand before a numbered place or part: "is on chapter 4", "leaves from platform 7". */
export const numberedPlaces = list(
  'chapter page version step level room floor gate platform track class grade lane seat row hall team group zone channel bay building unit dock ward bed week place rank season episode stage phase port shelf box locker',
);

/** Posts and labels are held or valid one at a time, so that "the new one" is the one that counts. */
export function isHeldByOne(stem: string): boolean {
  return posts.has(stem) || labels.has(stem);
}

export function isPost(stem: string): boolean {
  return posts.has(stem);
}

/** "The kids' favourite dinner", as the end of a sentence that begins with the dinner. */
export function isSinglingOut(stem: string): boolean {
  return singling.has(stem);
}

/** Days that a person or thing has once: "Lena's birthday is on 4 May", and another date contradicts. */
export const onceOnly = list(
  'birthday deadline anniversary wedding launch release election exam funeral graduation christening move',
);

/** Places where a thing is, told without a name. */
export const places = list(
  'roof basement cellar attic kitchen garage garden yard shed barn hall hallway office lobby drawer shelf cupboard cabinet closet wardrobe fridge freezer safe car van boot trunk desk bedroom bathroom floor corridor entrance workshop studio library archive museum school church station warehouse storeroom balcony terrace bag box folder wall porch counter stage pantry laundry lab laboratory canteen reception safe locker glovebox mailbox letterbox windowsill bench table counter gym cafe café bakery pub bar restaurant hotel hospital clinic university bookcase bookshelf stairwell attic loft greenhouse pool garden park square street harbor harbour',
);
