/** Colours of `styleText`: they take no room. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one
const style = /^\u001b\[[0-9;]*m/;

/** A line cut to the width of a screen, its colours closed again where it was cut. */
export function cutLine(line: string, width: number): string {
  let cut = '';
  /** Where the last letter begins: it makes way for the ellipsis. */
  let lastAt = 0;
  let room = width;
  let isStyled = false;
  for (let rest = line; rest !== ''; ) {
    const code = style.exec(rest)?.[0];
    const [letter = ''] = rest;
    if (code === undefined && room === 0) return `${cut.slice(0, lastAt)}…${isStyled ? '\u001b[0m' : ''}`;
    if (code === undefined) {
      lastAt = cut.length;
      room -= 1;
    } else isStyled = true;
    cut += code ?? letter;
    rest = rest.slice((code ?? letter).length);
  }
  return cut;
}

/** `▰▰▰▱▱`. */
export function bar(done: number, total: number, width: number): string {
  const full = total <= 0 ? 0 : Math.min(width, Math.floor((done / total) * width));
  return '▰'.repeat(full) + '▱'.repeat(width - full);
}
