import type { Token } from './tokens.ts';
import { isFunctionWord, prepositions } from './vocabulary.ts';

/** A name as it stands in a text: who or what, and in which role. */
export interface PlacedName {
  /** Lower case, one word of the name. */
  readonly word: string;
  /** The preposition before it, `possessive`, or `bare` for subjects and objects. */
  readonly role: string;
  /** Names joined by commas, "and" or "or" share a group: their order says nothing. */
  readonly group: number;
  /** Only the first word of its sentence: a common noun, perhaps, if the other text writes it small. */
  readonly doubtful: boolean;
}

const generations = new Set(['senior', 'junior', 'elder', 'younger', 'sr', 'jr']);
/** What follows a one-word name at the start of a sentence far more often than it follows a plain noun. */
const verbsAfterNames = new Set(
  'is was has will would can could may might must should and or never always usually often sometimes also now likes loves said says told asked owes owns wrote bought sold paid gave got went came took made met saw ran left lost won began built chose kept led sent spoke taught wore felt found thinks had'.split(
    ' ',
  ),
);

export function namesOf(tokens: readonly Token[]): PlacedName[] {
  const names: PlacedName[] = [];
  let group = 0;
  let lastNamed = -2;
  tokens.forEach((token, index) => {
    if (!isNameAt(tokens, index)) return;
    if (!joinsLastName(tokens, lastNamed, index)) group++;
    lastNamed = index;
    const word = token.value?.kind === 'name' ? token.value.key : token.word;
    names.push({ word, role: roleAt(tokens, index), group, doubtful: token.startsSentence && !token.value });
  });
  return names;
}

/** A capital inside a sentence, an address or handle, or a sentence's first word that is used as a name. */
function isNameAt(tokens: readonly Token[], index: number): boolean {
  const token = tokens[index];
  if (!token) return false;
  if (token.value) return token.value.kind === 'name';
  if (generations.has(token.word)) return index > 0 && isNameAt(tokens, index - 1);
  if (!token.capital || token.word === 'i') return false;
  if (!token.startsSentence)
    return !(token.lead.includes('"') || token.lead.includes(':')) || !isFunctionWord(token.word);
  if (isFunctionWord(token.word)) return false;
  const next = tokens[index + 1];
  if (token.possessive || (next?.capital && !next.value && /^,?$/u.test(next.lead))) return true;
  if (tokens.some((other, at) => at !== index && other.capital && !other.startsSentence && other.word === token.word))
    return true;
  if (!next || next.value || next.lead !== '') return false;
  if (generations.has(next.word)) return true;
  return verbsAfterNames.has(next.word) || (!endsLikeANoun(token.word) && /\p{Ll}{2}(?:s|ed)$/u.test(next.word));
}

/** Hoovering, tickets, migration: common nouns that stand first as often as names do. */
function endsLikeANoun(word: string): boolean {
  return /(?:ing|tion|sion|ment|ness|ity|ware|ship|[^aiou]s)$/u.test(word);
}

function joinsLastName(tokens: readonly Token[], last: number, index: number): boolean {
  const between = tokens.slice(last + 1, index);
  if (last < 0 || between.length > 1) return false;
  const lead = tokens[index]?.lead ?? '';
  if (between.length === 0) return lead === '' || lead === ',' || lead === '&';
  return between.every((token) => token.word === 'and' || token.word === 'or' || token.word === 'nor');
}

/** How far back a preposition can govern a name: titles, articles, first names and all. */
const longestName = 10;

/** Looks back over the name's own words, articles and titles to the preposition that governs it. */
export function roleAt(tokens: readonly Token[], index: number): string {
  if (tokens[index]?.possessive) return 'possessive';
  for (let at = index - 1; at >= Math.max(0, index - longestName); at--) {
    const token = tokens[at];
    if (!token || /[.;:!?]/u.test(tokens[at + 1]?.lead ?? '')) return 'bare';
    if (prepositions.has(token.word)) return token.word;
    const passes =
      token.capital || /^(?:the|a|an|and|or|my|our|your|his|her|their|dr|mr|mrs|ms|prof|professor)$/u.test(token.word);
    if (!passes || (token.startsSentence && isFunctionWord(token.word))) return 'bare';
    if (token.possessive) return 'bare';
  }
  return 'bare';
}
