import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { embeddingText } from '../../src/models/embedding-text.ts';
import { scrubJson, scrubSecrets, secretMarker } from '../../src/models/scrub-secrets.ts';

// Put together at run time: a scanner of this repository is not to find what only looks like a secret.
const digits = '0123456789';
const letters = 'AbCdEfGhIjKlMnOpQrStUvWxYz';
const shapes: Record<string, string> = {
  'OpenAI key': `sk-proj-${letters}${digits}`,
  'older OpenAI key': `sk-${letters}${digits}`,
  'Stripe key': `sk_live_${letters}`,
  'GitHub token': `ghp_${letters}${digits}`,
  'GitHub fine-grained token': `github_pat_${digits}${letters}_x`,
  'GitLab token': `glpat-${letters}`,
  'Slack token': `xoxb-${digits}-${letters}`,
  'AWS access key': `AKIA${'ABCDEFGH23456789'}`,
  'Google API key': `AIza${letters}${digits.slice(1)}`,
  'npm token': `npm_${letters}${digits}`,
  'Hugging Face token': `hf_${letters}${digits}`,
  'JSON web token': `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.${letters}`,
  'PEM key': `-----BEGIN RSA PRIVATE KEY-----\n${letters}\n${digits}\n-----END RSA PRIVATE KEY-----`,
  'PGP key': `-----BEGIN PGP PRIVATE KEY BLOCK-----\n${letters}\n-----END PGP PRIVATE KEY BLOCK-----`,
};

describe('a secret', () => {
  test.each(Object.entries(shapes))('of the shape %s is taken out of its sentence', (_, secret) => {
    expect(scrubSecrets(`Before ${secret} after.`)).toEqual({ value: `Before ${secretMarker} after.`, removed: 1 });
  });

  test.each([
    [`Authorization: Bearer ${letters}`, `Authorization: Bearer ${secretMarker}`],
    ['password=hunter2', `password=${secretMarker}`],
    ['DB_PASSWORD = "two words"', `DB_PASSWORD = ${secretMarker}`],
    ['{"api_key": "abc def"}', `{"api_key": ${secretMarker}}`],
    ['Password: hunter2!', `Password: ${secretMarker}`],
    ['the password is hunter2', `the password is ${secretMarker}`],
    ['My API key is: a1b2c3d4', `My API key is: ${secretMarker}`],
    ['postgres://ann:s3cret@db.example/x', `postgres://ann:${secretMarker}@db.example/x`],
    ['?token=abcdef&page=2', `?token=${secretMarker}&page=2`],
  ])('with its name beside it goes alone: %s', (text, expected) => {
    expect(scrubSecrets(text)).toEqual({ value: expected, removed: 1 });
  });

  test('that was cut off goes with all that follows', () => {
    expect(scrubSecrets(`Key: -----BEGIN PRIVATE KEY-----\n${letters}`).value).toBe(`Key: ${secretMarker}`);
  });

  test('under a key that names it goes as a whole, at any depth', () => {
    expect(
      scrubJson({ a: [{ password: 'plain' }], apiKey: 'plain', n: 5, note: `x ${shapes['GitHub token']}` }),
    ).toEqual({
      value: { a: [{ password: secretMarker }], apiKey: secretMarker, n: 5, note: `x ${secretMarker}` },
      removed: 3,
    });
  });
});

test.each([
  'The password is stored in the vault.',
  'Ann forgot her password again.',
  'Password: changed last week.',
  'The pass is 3,500 m high.',
  'The secret of good bread is time.',
  'Token count: 1200 per request.',
  'Use sk-learn-pipelines-for-preprocessing in the notebook.',
  'Order 1123 shipped on 2026-02-03 to https://shop.example/orders/1123.',
  'Basic knowledge of tokenisation is enough.',
])('is left alone: %s', (text) => {
  expect(scrubSecrets(text)).toEqual({ value: text, removed: 0 });
});

test('scrubbing twice is scrubbing once', () => {
  const fragments = fc.constantFrom(
    ...Object.values(shapes),
    'password',
    'token',
    'api_key',
    '=',
    ': ',
    ' is ',
    '"',
    "'",
    ' ',
    'Bearer ',
    'https://u:',
    'p4ss',
    '@',
    secretMarker,
    '[secret',
    'hunter2',
    '-',
    '_',
    '\n',
  );
  fc.assert(
    fc.property(fc.array(fragments, { maxLength: 14 }), (parts) => {
      const once = scrubSecrets(parts.join('')).value;
      expect(scrubSecrets(once)).toEqual({ value: once, removed: 0 });
    }),
    { numRuns: 3000 },
  );
});

test('the longest text of the worst kind takes no time worth naming', () => {
  const worst = [
    'a-'.repeat(8000),
    'password '.repeat(1800),
    'Bearer '.repeat(2300),
    'a://'.repeat(4000),
    '-----BEGIN PRIVATE KEY-----'.repeat(600),
  ];
  // Backtracking would take minutes, which is the test's time-out.
  for (const text of worst) scrubSecrets(text);
});

test('what is embedded is scrubbed again', () => {
  expect(embeddingText({ text: `key ${shapes['AWS access key']}` })).toBe(`key ${secretMarker}`);
});
