/** Closed classes of English: what stands between the words that matter. */

const set = (words: string): ReadonlySet<string> => new Set(words.split(/\s+/u));

export const articles = set('a an the');

export const prepositions = set(
  'about above across after against along among around as at before behind below beneath beside besides between beyond by despite down during except for from in inside into near next of off on onto opposite out outside over past per regarding since than through throughout till to toward towards under underneath until up upon via with within without',
);

export const conjunctions = set(
  'and or but nor so yet because although though while whereas if unless when whenever where wherever whether that which who whom whose',
);

export const pronouns = set(
  'i you he she it we they me him her us them my your his its our their mine yours hers ours theirs this that these those somebody someone something anybody anyone anything everybody everyone everything myself himself herself itself ourselves themselves one',
);

export const auxiliaries = set(
  'am is are was were be been being do does did done have has had having will would shall should can could may might must',
);

/** Words that a sentence may begin with and that are no names. */
const sentenceOpeners = set(
  'no not never please also there here then now today all any both each every either neither most many much more some few several such another other only just even still usually often sometimes always generally normally currently recently unfortunately however therefore instead yes ok okay hello hi thanks use see note let make keep do don add remove order call ask tell write read put set turn take get check send buy what why how who when where which',
);

export function isFunctionWord(word: string): boolean {
  return (
    articles.has(word) ||
    prepositions.has(word) ||
    conjunctions.has(word) ||
    pronouns.has(word) ||
    auxiliaries.has(word) ||
    sentenceOpeners.has(word)
  );
}

/**
 * The singular or base form of a lower-case word, only as far as an s goes: "gift cards" and "uses". Tense is left: "lives"
 * and "lived" are two statements. Never used on names: Luca is not Lucas.
 */
export function withoutS(word: string): string {
  const irregular = irregularS.get(word);
  if (irregular !== undefined) return irregular;
  if (word.length <= 3 || !word.endsWith('s') || /(?:ss|us|is)$/u.test(word)) return word;
  if (word.length > 4 && word.endsWith('ies')) return `${word.slice(0, -3)}y`;
  return /(?:[xz]es|[cs]hes|sses)$/u.test(word) ? word.slice(0, -2) : word.slice(0, -1);
}

const irregularS = new Map(
  'is:be are:be am:be has:have does:do goes:go was:was were:was always:always children:child kids:kid'
    .split(' ')
    .map((pair) => pair.split(':') as [string, string]),
);

const spellings: readonly (readonly [RegExp, string])[] = [
  [/^(colo|favo|behavio|neighbo|flavo|labo|hono|harbo|rumo)ur/u, '$1r'],
  [
    /^(organ|real|recogn|special|prior|optim|minim|maxim|summar|author|custom|categor|synchron|initial|normal|final|standard)is(e|es|ed|ing|ation|ations)$/u,
    '$1iz$2',
  ],
  [/^grey/u, 'gray'],
  [/^programme(s?)$/u, 'program$1'],
  [/^(cent|lit|met|theat|fib)re(s?)$/u, '$1er$2'],
  [/^licence/u, 'license'],
  [/^(cancel|travel|label)l(ed|ing|er|ers)$/u, '$1$2'],
  [/^postgresql$/u, 'postgres'],
];

/** American spelling for words that are written in two ways. */
export function oneSpelling(word: string): string {
  for (const [pattern, replacement] of spellings) {
    if (pattern.test(word)) return word.replace(pattern, replacement);
  }
  return word;
}
