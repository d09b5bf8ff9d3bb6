/**
 * One spelling for what people type in many: unicode forms, quotes, dashes and contractions. Case, words and digits stay.
 * Everything that reads a text (values, statements) reads this form of it.
 */
export function canonicalSpelling(text: string): string {
  return expandContractions(plainCharacters(text)).replace(/\s+/gu, ' ').trim();
}

function plainCharacters(text: string): string {
  return (
    text
      // NFKC would turn 10² into 102 and 1½ into 11/2: another number. Both get their sign first.
      .replace(/([⁰¹²³⁴-⁹]+)/gu, '^$1')
      .replace(/(\d)([¼-¾⅐-⅞])/gu, '$1 $2')
      // Grouped digits with a fixed or thin space: 212 000. A plain space may part two numbers and is left.
      .replace(/(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))/gu, '')
      .normalize('NFKC')
      .replace(/⁄/gu, '/')
      .replace(/[\u00ad\u200b-\u200d\u2060\ufeff]/gu, '')
      .replace(/[’‘ʼ`´]/gu, "'")
      .replace(/[“”„«»]/gu, '"')
      .replace(/[‐‑−]/gu, '-')
      .replace(/(?<=\d)\s?[–—]\s?(?=\d)/gu, '-')
      .replace(/[–—‒―]/gu, ' - ')
  );
}

/** Written without the apostrophe only where the word means nothing else, but for `cant` and `wont`, which nobody means. */
const bareNegations = /\b(do|does|did|is|are|was|were|has|have|had|should|could|would|must)nt\b/giu;
const subjectIs = /\b(it|that|there|here|what|who|where|how|he|she)'s\b/giu;

function expandContractions(text: string): string {
  return text
    .replace(/\b(?:can'?t|cannot)\b/giu, 'can not')
    .replace(/\bwon'?t\b/giu, 'will not')
    .replace(/\bshan't\b/giu, 'shall not')
    .replace(/\bain't\b/giu, 'is not')
    .replace(/n't\b/giu, ' not')
    .replace(bareNegations, '$1 not')
    .replace(/'re\b/giu, ' are')
    .replace(/'ve\b/giu, ' have')
    .replace(/'ll\b/giu, ' will')
    .replace(/\bi'm\b/giu, 'I am')
    .replace(/\blet's\b/giu, 'let us')
    .replace(subjectIs, '$1 is');
}
