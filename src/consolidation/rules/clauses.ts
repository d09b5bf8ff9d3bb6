import { type Statement, type Term, tellsThePast } from './statement.ts';
import { isPresentVerb } from './verbs.ts';

const pronouns = new Set(['it', 'he', 'she', 'they']);
const connectives = new Set(['and', 'so', 'but', 'now', 'then', 'today']);
const owners = new Set(['his', 'her', 'their']);

/** Whether a text is one clause: what supersedes it hides nothing else. */
export function isOneClause(statement: Statement): boolean {
  return startsOfClauses(statement.terms).length === 1;
}

/**
 * The clauses of a text of several, each as a statement of its own, with "it", "he" and "she" replaced by what `held` speaks
 * of where the text makes that plain. Empty for a text of one clause.
 */
export function clausesOf(offered: Statement, held: Statement): Statement[] {
  const starts = startsOfClauses(offered.terms);
  if (starts.length < 2) return [];
  return starts.flatMap((start, index) => {
    const clause = withoutConnective(offered.terms.slice(start, starts[index + 1] ?? offered.terms.length));
    const terms = pronouns.has(clause[0]?.word ?? '') ? named(clause, offered.terms, held.terms) : clause;
    return terms && terms.length > 1 ? [{ ...offered, terms, event: tellsThePast(terms) }] : [];
  });
}

function startsOfClauses(terms: readonly Term[]): number[] {
  return terms.flatMap((term, at) => {
    if (at === 0 || /[.;:!?]/u.test(term.lead) || term.lead.trim() === '-') return [at];
    const next = terms[at + 1];
    const opens = pronouns.has(term.word) || (connectives.has(term.word) && startsClause(next, terms[at + 2]));
    return opens && (/,/u.test(term.lead) || (connectives.has(term.word) && pronouns.has(next?.word ?? '')))
      ? [at]
      : [];
  });
}

/** "…, and Ben lives there": a subject and a verb, not one more item of a list. */
function startsClause(subject: Term | undefined, verb: Term | undefined): boolean {
  return (
    subject !== undefined &&
    verb !== undefined &&
    (pronouns.has(subject.word) || verb.stem === 'be' || isPresentVerb(verb.word))
  );
}

function withoutConnective(terms: readonly Term[]): readonly Term[] {
  return connectives.has(terms[0]?.word ?? '') ? terms.slice(1) : terms;
}

/** The clause with its subject in place of the pronoun: the one that both texts begin with, or "her leave" as Kerstin's. */
function named(clause: readonly Term[], offered: readonly Term[], held: readonly Term[]): readonly Term[] | null {
  const verb = held.findIndex((term, at) => at > 0 && (term.stem === 'be' || isPresentVerb(term.word)));
  const subject = verb < 1 ? [] : held.slice(0, verb);
  if (
    subject.length > 0 &&
    subject.every((term, at) => offered[at]?.stem === term.stem && offered[at]?.possessive === term.possessive)
  ) {
    return [...subject, ...clause.slice(1)];
  }
  const owner = offered[0];
  const owned = offered.findIndex((term) => owners.has(term.word));
  const thing = offered[owned + 1];
  if (clause[0]?.word !== 'it' || !owner?.capital || owned < 1 || !thing) return null;
  return [{ ...owner, possessive: true }, thing, ...clause.slice(1)];
}

/** "Novak is the main contractor" turned into "the main contractor is Novak"; null where it is no such sentence. */
export function turnedToPost(statement: Statement, isPost: (stem: string) => boolean): Statement | null {
  const verb = statement.terms.findIndex((term) => term.stem === 'be');
  const [name, post] = [statement.terms.slice(0, verb), statement.terms.slice(verb + 1)];
  const verbOf = statement.terms[verb];
  if (verb < 1 || !verbOf || post.length === 0 || !name.every((term) => term.capital)) return null;
  const preposition = post.findIndex((term) => /^(?:of|for|in|at|on)$/u.test(term.word));
  const head = (preposition < 0 ? post : post.slice(0, preposition)).at(-1);
  if (!head || !isPost(head.stem) || post[0]?.article === 'indefinite') return null;
  return { ...statement, terms: [...post, verbOf, ...name] };
}
