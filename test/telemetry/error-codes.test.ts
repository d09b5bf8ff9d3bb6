import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const source = new URL('../../src', import.meta.url).pathname;
const contents = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(source, name), 'utf8'));

const codesAt = (place: RegExp) =>
  contents.flatMap((content) => [...content.matchAll(place)].map(([, code = '']) => code));

const ofClasses = codesAt(/^ +readonly code = '([^']*)'/gm);
const ofAnswers = [...codesAt(/new ApiError\(\d+, '([^']*)'/g), ...codesAt(/\bproblem\(\d+, '([^']*)'/g)];

test('every code of an error is in capitals: scripts match on them', () => {
  expect(ofClasses.length).toBeGreaterThan(30);
  expect(ofAnswers.length).toBeGreaterThan(10);
  expect([...ofClasses, ...ofAnswers].filter((code) => !/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/.test(code))).toEqual([]);
});

test('no two classes of errors share a code', () => {
  expect(ofClasses.filter((code, index) => ofClasses.indexOf(code) !== index)).toEqual([]);
});
