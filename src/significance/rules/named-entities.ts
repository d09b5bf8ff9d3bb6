import { namesOf } from '../../consolidation/values/names.ts';
import { type Token, tokensOf } from '../../consolidation/values/tokens.ts';

const mostEntities = 20;

/** The names in a text, each once, as it was first written: "Anna Berg", "Basel". */
export function namedEntities(text: string): string[] {
  const tokens = tokensOf(text);
  const named = namedPlaces(tokens);
  const names: string[] = [];
  for (const [index, token] of tokens.entries()) {
    if (!named.has(index)) continue;
    const spelled = token.text.replace(/'s?$/iu, '');
    const before = tokens[index - 1];
    // Two words of one name, unless a possessive stands between them: "Anna's Porsche".
    const joins = named.has(index - 1) && token.lead === '' && before?.possessive === false;
    if (joins) names.push(`${names.pop() ?? ''} ${spelled}`);
    else names.push(spelled);
  }
  const once = new Map<string, string>();
  for (const name of names) if (!once.has(name.toLowerCase())) once.set(name.toLowerCase(), name);
  return [...once.values()].slice(0, mostEntities);
}

/** Where names stand, without addresses and handles, and without a lone capital that begins a sentence. */
function namedPlaces(tokens: readonly Token[]): Set<number> {
  const places = new Set<number>();
  let from = 0;
  for (const name of namesOf(tokens)) {
    const at = tokens.findIndex(
      (token, index) =>
        index >= from &&
        name.word === (token.value?.kind === 'name' ? token.value.key : token.word) &&
        isOf(token, name),
    );
    if (at < 0) continue;
    from = at + 1;
    const token = tokens[at];
    // "Painting is …" begins like "Melanie is …".
    const isGerund = name.doubtful && name.word.endsWith('ing');
    if (token?.value === null && !isGerund) places.add(at);
  }
  return places;
}

function isOf(token: Token, name: { readonly doubtful: boolean }): boolean {
  return token.value !== null || (token.startsSentence ? name.doubtful : !name.doubtful);
}
