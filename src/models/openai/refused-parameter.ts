import { APIError } from 'openai/core/error';

/** Parts of a request that are the same for every memory: what refuses one of them refuses them all. */
const parameters = [
  'response_format',
  'max_completion_tokens',
  'max_tokens',
  'temperature',
  'dimensions',
  'encoding_format',
  'model',
] as const;

export type RequestParameter = (typeof parameters)[number];

export interface Refusal {
  readonly parameter: RequestParameter;
  /** The parameter itself is not known here, whatever its value. */
  readonly isUnknown: boolean;
}

const unknownText =
  /\b(?:un(?:supported|known|recogni[sz]ed|expected|available)|not (?:supported|permitted|allowed|available|recogni[sz]ed)|extra (?:inputs|fields)|instead|does not support)\b/i;
const unknownCode = /^(?:unsupported|unknown|unrecogni[sz]ed)_parameter$/;
const valueText = /\b(?:too (?:large|high|big|many)|at most|less than|greater than|must be|exceeds?)\b/i;

/**
 * The part of the request that an answer of status 400 or 422 names as its reason; null where it names none of ours. A
 * schema that cannot be compiled is a 500 with some servers.
 */
export function refusedParameter(error: unknown): Refusal | null {
  if (!(error instanceof APIError) || ![400, 422, 500, 501].includes(error.status ?? 0)) return null;
  const text = error.message.slice(0, 4000);
  const parameter = named(error.param, text);
  if (parameter === null || ((error.status ?? 0) >= 500 && parameter !== 'response_format')) return null;
  const isCode = typeof error.code === 'string' && unknownCode.test(error.code);
  return { parameter, isUnknown: isCode || (unknownText.test(text) && !valueText.test(text)) };
}

function named(param: unknown, text: string): RequestParameter | null {
  // `response_format.json_schema`; `['body', 'response_format']` of pydantic.
  const place =
    typeof param === 'string' && param !== ''
      ? param
      : /"loc"\s?:\s?\[\s?"body"\s?,\s?"([a-z_]{1,40})"/.exec(text)?.[1];
  if (place !== undefined) return parameters.find((parameter) => parameter === place.split('.')[0]) ?? null;
  // What is compiled from the schema, where that fails.
  if (/\bjson_(?:schema|object)\b|\bgrammar\b|\bguided_json\b|\bstructured outputs?\b/i.test(text))
    return 'response_format';
  return parameters.find((parameter) => mentions(text, parameter)) ?? null;
}

/** A word with an underscore is none of a memory's; one without has to be quoted, in case the server repeats the prompt. */
function mentions(text: string, parameter: RequestParameter): boolean {
  if (parameter.includes('_')) return new RegExp(`\\b${parameter}\\b`).test(text);
  return new RegExp(`(?:["'\`./]|supplied: )${parameter}(?:["'\`.]|$)`).test(text);
}
