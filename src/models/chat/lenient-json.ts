/**
 * The JSON of an answer whose model did not keep to the form: thoughts before it, a code fence around it, a word of
 * courtesy before or after. What is read is always a whole JSON value that stands in the text; nothing is repaired, closed
 * or guessed. Undefined where there is none.
 *
 * Characters that PostgreSQL cannot keep (NUL, halves of pairs) are taken out of strings.
 */
export function lenientJson(text: string): { readonly json: unknown } | undefined {
  const answer = withoutThoughts(text).trim();
  const whole = parsed(answer);
  if (whole) return whole;
  for (const fence of answer.matchAll(/```(?:json|JSON)?[ \t]*\r?\n([\s\S]*?)\r?\n[ \t]*```/g)) {
    const fenced = parsed((fence[1] ?? '').trim());
    if (fenced) return fenced;
  }
  return embedded(answer);
}

/** Reasoning that a server leaves in the answer. Without an end, the answer has not begun. */
function withoutThoughts(text: string): string {
  const lead = text.trimStart();
  const tag = /^<(think|thinking|reasoning|thought)>/.exec(lead)?.[1];
  if (tag) {
    const end = lead.indexOf(`</${tag}>`);
    return end < 0 ? '' : lead.slice(end + tag.length + 3);
  }
  // Some templates swallow the opening tag.
  const end = /<\/(?:think|thinking)>/.exec(text);
  return end && !text.slice(0, end.index).includes('{') ? text.slice(end.index + end[0].length) : text;
}

/** Places tried for the beginning of a value: enough for words with brackets before it, few enough for 50 KB of brackets. */
const mostPlaces = 20;

/** The first object that stands in prose; a list in prose is a footnote, and what is asked for is always an object. */
function embedded(text: string): { readonly json: unknown } | undefined {
  let from = 0;
  for (let place = 0; place < mostPlaces; place += 1) {
    const start = text.indexOf('{', from);
    if (start < 0) return undefined;
    const end = endOfValue(text, start);
    // Never closed: what stands inside is a part of something and would be taken for the whole.
    if (end === undefined) return undefined;
    const found = parsed(text.slice(start, end));
    if (found) return found;
    from = end;
  }
  return undefined;
}

/** Behind the bracket that closes the one at `start`, strings skipped. */
function endOfValue(text: string, start: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let at = start; at < text.length; at += 1) {
    const character = text[at];
    if (inString) {
      if (character === '\\') at += 1;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return undefined;
}

function parsed(text: string): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(text, (_key, value) => (typeof value === 'string' ? storable(value) : value)) };
  } catch {
    return undefined;
  }
}

/** As PostgreSQL can keep it. */
export function storable(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}
