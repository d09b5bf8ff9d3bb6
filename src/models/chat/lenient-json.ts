/**
 * The JSON of an answer whose model did not keep to the form: thoughts before it, a code fence around it, a word of
 * courtesy before or after. What is read is always a whole JSON value that stands in the text; nothing is repaired, closed
 * or guessed. Undefined where there is none.
 *
 * Characters that PostgreSQL cannot keep (NUL, halves of pairs) are taken out of strings.
 */
export function lenientJson(text: string): { readonly json: unknown } | undefined {
  const whole = parsed(text);
  if (whole) return whole;
  const answer = withoutThoughts(text);
  return parsed(answer) ?? fenced(answer) ?? embedded(answer);
}

/**
 * What stands behind the reasoning that a server left in the answer. Without an end, the answer has not begun; a beginning
 * is swallowed by some templates. An end within the text of a JSON string has a quote behind it, not the answer.
 */
function withoutThoughts(text: string): string {
  const ends = [...text.matchAll(/<\/(?:think|thinking|reasoning|thought)>(?=\s{0,8}(?:[\n{`]|$))/g)];
  const end = ends.at(-1);
  if (end) return text.slice(end.index + end[0].length);
  return /^\s*<(?:think|thinking|reasoning|thought)>/.test(text) ? '' : text;
}

/** Places tried for a value: enough for words with brackets before it, few enough for 50 KB of brackets. */
const mostPlaces = 20;

/** What stands between two lines that begin with a fence. By lines: a pattern over all of it took 10 s for 80,000 fences. */
function fenced(text: string): { readonly json: unknown } | undefined {
  const lines = text.split('\n');
  const fences = lines.flatMap((line, at) => (/^\s{0,8}```/.test(line) ? [at] : [])).slice(0, mostPlaces);
  for (const [nth, fence] of fences.entries()) {
    const found = parsed(lines.slice(fence + 1, fences[nth + 1]).join('\n'));
    if (found) return found;
  }
  return undefined;
}

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
