import { stripVTControlCharacters } from 'node:util';

/** Lines of columns as wide as their widest cell, two spaces apart. The last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, displayWidth(cell));
  }
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - displayWidth(cell)),
      )
      .join('  ')
      .trimEnd(),
  );
}

function displayWidth(cell: string): number {
  return [...stripVTControlCharacters(cell)].length;
}

/** At most `width` characters on one line. */
export function oneLine(text: string, width: number): string {
  const flat = text.replace(/\s+/g, ' ').trim();
  const letters = [...flat];
  return letters.length <= width ? flat : `${letters.slice(0, Math.max(0, width - 1)).join('')}…`;
}
