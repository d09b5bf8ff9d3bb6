import type { z } from 'zod';

/** One thing wrong with an input, and where: `text`, `[3].occurred_start`, `tags[32]`; empty for the input as a whole. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/** What a schema refused, in order, one entry a field: the first thing wrong with a field is enough to know. */
export function fieldErrors(error: z.ZodError): FieldError[] {
  const found = new Map<string, FieldError>();
  const add = (path: string, message: string) => {
    if (!found.has(path)) found.set(path, { path, message });
  };
  for (const issue of error.issues) {
    const path = pathText(issue.path);
    switch (issue.code) {
      case 'unrecognized_keys':
        for (const key of issue.keys) add(path === '' ? key : `${path}.${key}`, 'unknown field');
        break;
      case 'invalid_type':
        add(path, issue.message.endsWith('received undefined') ? 'required' : expected(issue));
        break;
      default:
        add(path, issue.message);
    }
  }
  return [...found.values()];
}

/** `text: must not be blank; tags[2]: …`, as a line of a report. */
export function fieldErrorsText(errors: readonly FieldError[]): string {
  return errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
}

function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += text === '' ? String(part) : `.${String(part)}`;
  }
  return text;
}

const articles: Partial<Record<string, string>> = { array: 'an array', object: 'an object', record: 'an object' };

function expected(issue: { readonly expected: string; readonly message: string }): string {
  // A message of the schema's own is better than anything built here.
  if (!issue.message.startsWith('Invalid input')) return issue.message;
  return `must be ${articles[issue.expected] ?? `a ${issue.expected}`}`;
}
