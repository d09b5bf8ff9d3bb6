/** Longer texts are cut. */
const longest = 160;

/**
 * Somebody else's text in Markdown: on one line, cut to length, and in a code span, where no heading, link, address or
 * markup is anything but its own characters. Nothing else ends a code span but as many backticks as begin it.
 */
export function quoted(text: string): string {
  const line = oneLine(text);
  if (line === '') return '(blank)';
  const runs = [...line.matchAll(/`+/g)].map(([run]) => run.length);
  let length = 1;
  while (runs.includes(length)) length += 1;
  const fence = '`'.repeat(length);
  // A backtick at an end would be taken for one of the fence's.
  const pad = line.startsWith('`') || line.endsWith('`') ? ' ' : '';
  return `${fence}${pad}${line}${pad}${fence}`;
}

/** Line ends, controls (a terminal would obey them) and marks that turn the direction of reading are spaces. */
function oneLine(text: string): string {
  const flat = text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069\uFEFF]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  const letters = [...flat];
  return letters.length <= longest
    ? flat
    : `${letters
        .slice(0, longest - 1)
        .join('')
        .trimEnd()}…`;
}
