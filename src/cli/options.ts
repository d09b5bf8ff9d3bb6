import { InvalidArgumentError, Option } from 'commander';

/** `--bank`, wherever a command works on one. */
export function bankOption(): Option {
  return new Option('--bank <bank>', 'bank to work on').default('default');
}

/** A repeatable option: `--tag a --tag b`. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** @returns a parser that commander calls, whose refusal is a usage error (exit 2) */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}`);
    return value;
  };
}

/** Bank names are free text; in a path they have to be escaped. */
export function bankPath(bank: string, rest = ''): string {
  return `/v1/banks/${encodeURIComponent(bank)}${rest}`;
}

/** `?a=1&b=2` of what is set. */
export function query(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const set = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) set.set(name, String(value));
  return set.size === 0 ? '' : `?${set}`;
}
