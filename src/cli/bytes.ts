const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** For a person: `512 B`, `1.4 MiB`. */
export function showBytes(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`;
}
