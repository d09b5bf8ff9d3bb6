import type { Term } from './statement.ts';
import { baseOfGerund } from './verbs.ts';

const words = (list: string): ReadonlySet<string> => new Set(list.split(' '));
const labels = words('update correction news new note fyi reminder change');

export interface Rephrased {
  readonly terms: readonly Term[];
  /** The words themselves told of a change. */
  readonly changed: boolean;
}

/** One shape for what is said in several, so that two statements can be laid side by side. */
export function rephrased(all: readonly Term[]): Rephrased {
  const labelled = labels.has(all[0]?.word ?? '') && all[1]?.lead.includes(':') === true;
  const terms = labelled ? all.slice(1) : all;
  const possession = newPossession(terms);
  return { terms: ownerFirst(possession ?? terms), changed: labelled || possession !== null };
}

/** "Mateo has a new phone number: 5512" is "Mateo's phone number is 5512". */
function newPossession(terms: readonly Term[]): readonly Term[] | null {
  const have = terms.findIndex((term, at) => at > 0 && term.stem === 'have' && terms[at + 1]?.word === 'new');
  const pause = terms.findIndex((term, at) => at > have + 2 && /[:,]/u.test(term.lead));
  const owner = terms[have - 1];
  if (have < 0 || pause < 0 || !owner) return null;
  const topic = terms.slice(have + 2, pause);
  return [...terms.slice(0, have - 1), { ...owner, possessive: true }, ...topic, be, ...terms.slice(pause)];
}

const be: Term = {
  raw: 'is',
  word: 'is',
  stem: 'be',
  value: null,
  lead: '',
  capital: false,
  possessive: false,
  article: null,
  denied: false,
};

/** "The phone number of Mateo is" is "Mateo's phone number is". */
function ownerFirst(terms: readonly Term[]): readonly Term[] {
  const of = terms.findIndex((term) => term.word === 'of');
  const verb = terms.findIndex((term) => term.stem === 'be');
  const owner = terms[of + 1];
  if (of < 1 || of > 3 || verb !== of + 2 || !owner?.capital) return terms;
  return [{ ...owner, possessive: true }, ...terms.slice(0, of), ...terms.slice(verb)];
}

const formerly = words('was formerly previously instead up down before not ex');

/** The reason ("because of avalanches") and what is named as over ("instead of tea", ", not in Lund", "(was 900)") cut off. */
export function withoutAside(all: readonly Term[]): { terms: readonly Term[]; given: readonly Term[] } {
  const corrected = notButRather(all);
  if (corrected) return corrected;
  for (const [at, term] of all.entries()) {
    const next = all[at + 1]?.word;
    const cut = (given: number) => ({ terms: all.slice(0, at), given: all.slice(given) });
    if (at < 2) continue;
    const since = term.word === 'since' && all[at + 1]?.value?.kind !== 'date' && all.length > at + 2;
    if (since || term.word === 'because' || (/^(?:due|owing)$/u.test(term.word) && next === 'to'))
      return cut(all.length);
    if ((term.word === 'instead' && next === 'of') || (term.word === 'rather' && next === 'than')) return cut(at + 2);
    const compared =
      /^(?:up|down)$/u.test(term.word) && next === 'from' && !all.slice(at).some(({ word }) => word === 'to');
    if (compared) return cut(at + 2);
    if (/[,(]/u.test(term.lead) && formerly.has(term.word)) return cut(at + 1);
    if (term.denied && /[,(]/u.test(term.lead)) return cut(at);
  }
  return { terms: all, given: [] };
}

/** "Is no longer 900 but 950 euros". */
function notButRather(terms: readonly Term[]): { terms: readonly Term[]; given: readonly Term[] } | null {
  const denied = terms.findIndex((term) => term.denied);
  const but = terms.findIndex((term, at) => at > denied && term.word === 'but');
  if (denied < 1 || but < 0 || but - denied > 4 || terms.filter((term) => term.denied).length > 1) return null;
  return {
    terms: [...terms.slice(0, denied), ...terms.slice(but + 1)],
    given: terms.slice(denied, but).map((term) => ({ ...term, denied: false })),
  };
}

const beginnings = words('come learned learnt started begun grown taken');

/** "Is living in", "has been living in" and "has started to live in" say "lives in"; "has become" says "is". */
export function plainVerbs(terms: readonly Term[]): Rephrased {
  const kept: Term[] = [];
  let changed = false;
  for (const [at, term] of terms.entries()) {
    const last = kept.at(-1);
    const plain = plainVerb(term, last, kept.at(-2), terms[at - 1]);
    if (!plain) {
      kept.push(term);
      continue;
    }
    kept.splice(
      kept.length - plain.replaces,
      plain.replaces,
      ...(plain.stem === '' ? [] : [{ ...term, word: plain.stem, stem: plain.stem }]),
    );
    changed ||= plain.changed;
  }
  return { terms: kept, changed };
}

interface Plain {
  /** Empty: the word goes without a replacement. */
  readonly stem: string;
  /** How many of the words before go too. */
  readonly replaces: number;
  readonly changed: boolean;
}

function plainVerb(
  term: Term,
  last: Term | undefined,
  beforeLast: Term | undefined,
  written: Term | undefined,
): Plain | null {
  const base = last && /^(?:be|been)$/u.test(last.stem) ? baseOfGerund(term.word) : null;
  if (base !== null)
    return { stem: base, replaces: last?.word === 'been' && beforeLast?.stem === 'have' ? 2 : 1, changed: false };
  if (/^(?:become|became|becomes)$/u.test(term.word))
    return { stem: 'be', replaces: last?.stem === 'have' ? 1 : 0, changed: true };
  if (term.word === 'to' && beginnings.has(last?.word ?? '') && beforeLast?.stem === 'have')
    return { stem: '', replaces: 2, changed: true };
  if (last?.word === 'will' && term.word === 'be') return { stem: 'be', replaces: 1, changed: false };
  if (last?.word === 'would' && term.word === 'like') return { stem: 'want', replaces: 1, changed: false };
  if (last?.word === 'would' && /^(?:rather|prefer)$/u.test(term.word))
    return { stem: 'prefer', replaces: 1, changed: false };
  if (last?.stem === 'prefer' && written?.word === 'rather' && /^(?:have|be)$/u.test(term.word))
    return { stem: '', replaces: 0, changed: false };
  return null;
}
