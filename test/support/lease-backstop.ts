import { subscribe } from 'node:diagnostics_channel';
import { afterEach, expect } from 'vitest';
import { heldLabel } from '../../src/db/lease.ts';

/**
 * The net under law L1 for code that goes round the ports: an HTTP request that starts while its async context holds a
 * database connection fails the test it started in. (A throw inside a subscriber never reaches the caller, so it is
 * noted here and judged after the test.)
 */
const violations: string[] = [];

function note(what: string): void {
  const label = heldLabel();
  if (label !== undefined) violations.push(`${what} under "${label}"`);
}

subscribe('undici:request:create', () => note('fetch'));
subscribe('http.client.request.start', () => note('http.request'));

afterEach(() => {
  expect(violations.splice(0), 'HTTP requests started while a database connection was held (law L1)').toEqual([]);
});
