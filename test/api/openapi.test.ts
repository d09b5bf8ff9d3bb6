import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, { operationId: string; parameters?: { name: string; in: string }[] }>>;
  readonly components: { readonly schemas: Record<string, { properties?: Record<string, unknown> }> };
}

let fixture: ApiFixture;
let document: Document;
beforeAll(async () => {
  fixture = await createApiFixture();
  document = bodyOf<Document>(await fixture.get('/v1/openapi.json'));
});
afterAll(() => fixture.close());

function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === '$ref' ? [String(inner)] : references(inner)));
}

test('every reference leads to something in the document', () => {
  const found = new Set(references(document));
  expect(found.size).toBeGreaterThan(5);
  for (const reference of found) {
    const name = /^#\/components\/schemas\/(\w+)$/.exec(reference)?.[1];
    expect([reference, name !== undefined && name in document.components.schemas]).toEqual([reference, true]);
  }
});

test('every parameter of a path is described, and every operation has a name of its own', () => {
  const names: string[] = [];
  for (const [path, methods] of Object.entries(document.paths)) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    for (const operation of Object.values(methods)) {
      names.push(operation.operationId);
      const described = (operation.parameters ?? [])
        .filter((parameter) => parameter.in === 'path')
        .map(({ name }) => name);
      expect([path, described]).toEqual([path, inPath]);
    }
  }
  expect(new Set(names).size).toBe(names.length);
});

test('a memory is described field by field', () => {
  const properties = document.components.schemas.MemoryInput?.properties;
  expect(Object.keys(properties ?? {})).toEqual([
    'text',
    'context',
    'kind',
    'tags',
    'occurred_start',
    'occurred_end',
    'mentioned_at',
    'source_ref',
    'entities',
    'metadata',
    'dialogue',
    'idempotency_key',
  ]);
});

test('nothing in it is specific to the library that wrote it', () => {
  const text = JSON.stringify(document);
  expect(text).not.toMatch(/\$schema|\$defs|"\$id"|__shared/);
});
