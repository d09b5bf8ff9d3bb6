import { withoutS } from '../values/vocabulary.ts';

const words = (list: string): ReadonlySet<string> => new Set(list.split(' '));

/**
 * Verbs of which a person or thing does one thing at a time in one respect, in base form. A value behind one of them may be
 * followed by another value; what is behind any other verb is one of several or an event.
 */
export const steadyVerbs = words(
  'allow amount average begin belong bill burn charge clean close commute consist contain cook cost count cover deploy drink drive earn eat employ end expire finish follow get grow have hold host keep last lead live look maintain manage measure meet need occupy open order park pay play practice practise prefer print produce publish pump rank read rebuild rehearse renew require rent reset reside retain retry review ride rotate run save scan scrape seat serve set ship sit sleep span spend stand start stay store supervise support swim sync take tick time train travel update use walk want water wear weigh work write limit cap archive back refresh poll',
);

/** What comes and goes at many times: "the ferry leaves at 6:50" and "… at 8:50" are two ferries. */
const departing = words('leave depart arrive go come stop call pass return run have take see visit');

/** A clock time behind one of these is one of several. */
export function comesOften(verb: string): boolean {
  return departing.has(verb);
}

/** Verbs of choice and habit: with "now", "always" or "usually" one choice stands for the rest. */
export const choiceVerbs = words(
  'bank book buy choose commute deploy drink drive eat go host listen order park pay pick print ride sail send serve ship shop sit sleep store swim take train travel use walk wear work',
);

/** Verbs of liking that an "end of interest" ends. */
export const likingVerbs = words(
  'like love enjoy prefer adore favor follow collect play read watch drink eat use smoke wear practice practise study do go',
);

const others = words('want need be prefer like love hate know think say mean seem');

/** "Wants", "lives", "is": a known verb in the present tense, third person or base form. */
export function isPresentVerb(word: string): boolean {
  const base = withoutS(word);
  return steadyVerbs.has(base) || choiceVerbs.has(base) || likingVerbs.has(base) || others.has(base);
}

const sameInThePast = words('read cost set put cut spread shut let beat');

/** "Ana read 40 pages" is the past, "tickets cost 5 euros" is not: the form alone does not tell, its subject does. */
export function isPastForm(verb: string, subject: string): boolean {
  return sameInThePast.has(verb) && !/s$|^(?:i|we|you|they|people|children)$/u.test(subject);
}

const gerunds = new Map(
  [...steadyVerbs, ...choiceVerbs, ...likingVerbs].flatMap((verb) => {
    const stem = verb.endsWith('e') && !verb.endsWith('ee') ? verb.slice(0, -1) : verb;
    const doubled =
      /[^aeiou][aeiou][^aeiouwxy]$/u.test(verb) && verb.length <= 4 ? `${verb}${verb.at(-1)}ing` : `${stem}ing`;
    return [
      [`${stem}ing`, verb],
      [doubled, verb],
    ] as const;
  }),
);

/** "living" → "live"; null for what is no such verb. */
export function baseOfGerund(word: string): string | null {
  return gerunds.get(word) ?? null;
}
