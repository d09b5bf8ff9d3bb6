import { z } from 'zod';
import { problemSchema } from './problem.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

const schemaRef = (id: string) => `#/components/schemas/${id}`;

/** OpenAPI 3.1 of the routes, from the schemas that check their requests. */
export function openApi(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Json> = {};
  for (const spec of routes) {
    const path = paths[spec.path] ?? {};
    path[spec.method.toLowerCase()] = operation(spec);
    paths[spec.path] = path;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'engramd',
      version,
      description: 'Consolidates the memories of AI agents. Writes take JSON; times are ISO 8601, ids UUIDs.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: componentSchemas(),
    },
  };
}

function operation(spec: Route): Json {
  const parameters = [
    ...parametersOf(spec.params, 'path'),
    ...parametersOf(spec.query, 'query'),
    ...(spec.takesIdempotencyKey ? [idempotencyParameter] : []),
  ];
  return {
    operationId: spec.operationId,
    summary: spec.summary,
    ...(parameters.length > 0 && { parameters }),
    ...(spec.body && { requestBody: { required: true, content: jsonContent(spec.body, 'input') } }),
    responses: {
      [String(spec.successStatus)]: spec.isStream
        ? {
            description: 'A line for each, as it comes.',
            content: content('application/x-ndjson', spec.response, 'output'),
          }
        : { description: 'Done.', content: jsonContent(spec.response, 'output') },
      default: { description: 'Not done.', content: jsonContent(problemSchema, 'output') },
    },
  };
}

const idempotencyParameter: Json = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  schema: { type: 'string', maxLength: 255 },
  description: 'The same key with the same body is answered as the first time, and done once.',
};

function parametersOf(schema: z.ZodType | undefined, where: 'path' | 'query'): Json[] {
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape as Record<string, z.ZodType>).map(([name, field]) => {
    const { description, ...rest } = inlineSchema(field, 'input');
    return {
      name,
      in: where,
      required: where === 'path',
      schema: rest,
      ...(description !== undefined && { description }),
    };
  });
}

function jsonContent(schema: z.ZodType, io: 'input' | 'output'): Json {
  return content('application/json', schema, io);
}

function content(type: string, schema: z.ZodType, io: 'input' | 'output'): Json {
  const id = z.globalRegistry.get(schema)?.id;
  return { [type]: { schema: id === undefined ? inlineSchema(schema, io) : { $ref: schemaRef(id) } } };
}

/** A schema in place; those with a name stay references. */
function inlineSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const {
    $schema: _dialect,
    $defs: _named,
    id: _id,
    ...rest
  } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json;
  return withRefs(rest) as Json;
}

function componentSchemas(): Record<string, Json> {
  const { schemas } = z.toJSONSchema(z.globalRegistry, { uri: schemaRef, io: 'input', unrepresentable: 'any' });
  return Object.fromEntries(
    Object.entries(schemas as Record<string, Json>).map(([id, { $schema: _dialect, $id: _id, id: _name, ...rest }]) => [
      id,
      withRefs(rest) as Json,
    ]),
  );
}

/** References into the document that a schema was alone in, as references into this one. */
function withRefs(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withRefs);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === '$ref' && typeof inner === 'string' ? inner.replace(/^#\/\$defs\//, schemaRef('')) : withRefs(inner),
    ]),
  );
}
