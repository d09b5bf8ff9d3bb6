/** Prints rows under headers to stdout; columns that hold only figures and dashes stand right. */
export function printTable(headers: readonly string[], rows: readonly (readonly string[])[]): void {
  console.log(renderTable(headers, rows));
}

export function renderTable(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headers.map((header, at) => Math.max(header.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const figures = headers.map((_, at) => rows.every((row) => /^(?:[-+]?[\d.,]+ ?%?|n\/a|-|)$/u.test(row[at] ?? '')));
  const line = (cells: readonly string[]) =>
    widths
      .map((width, at) => (figures[at] ? (cells[at] ?? '').padStart(width) : (cells[at] ?? '').padEnd(width)))
      .join('  ')
      .trimEnd();
  return [line(headers), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}
