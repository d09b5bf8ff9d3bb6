import { z } from 'zod';
import { scrubJson } from '../models/scrub-secrets.ts';
import { parseIsoTime } from './iso-time.ts';
import { unstorableJsonReason, unstorableReason } from './storable-text.ts';

export const maxTextBytes = 16 * 1024;
// A scope is a key of a B-tree, which takes 2,704 bytes, bank and array headers included. The table checks it as well.
const maxTagsBytes = 1600;
const maxMetadataBytes = 8 * 1024;
const maxDialogueBytes = 32 * 1024;

/** Most memories in one request: one transaction, held for well under a second. */
export const maxMemoriesPerRequest = 1000;

/** Adds the reason, where there is one, as an issue of its own wording. */
function refused(reasonOf: (value: unknown) => string | undefined) {
  return (value: unknown, context: z.RefinementCtx): void => {
    const reason = reasonOf(value);
    if (reason !== undefined) context.addIssue({ code: 'custom', message: reason });
  };
}

function storable(text: unknown): string | undefined {
  return typeof text === 'string' ? unstorableReason(text) : undefined;
}

function notBlank(text: unknown): string | undefined {
  return typeof text === 'string' && text.trim() === '' ? 'must not be blank' : undefined;
}

function bytesOver(limit: number) {
  return (text: unknown): string | undefined => {
    if (typeof text !== 'string') return undefined;
    const bytes = Buffer.byteLength(text);
    return bytes > limit ? `must be at most ${limit} bytes of UTF-8, is ${bytes}` : undefined;
  };
}

function jsonOver(limit: number) {
  return (value: unknown): string | undefined => {
    const unstorable = unstorableJsonReason(value);
    if (unstorable !== undefined) return unstorable;
    const bytes = Buffer.byteLength(JSON.stringify(value));
    return bytes > limit ? `must be at most ${limit} bytes of JSON, is ${bytes}` : undefined;
  };
}

/** Measured as they will be stored: the mark of a removed secret can be longer than the secret was. */
function tagBytesOver(limit: number) {
  return (tags: unknown): string | undefined => {
    const { value } = scrubJson(tags);
    if (!Array.isArray(value)) return undefined;
    const bytes = value.reduce<number>((sum, tag) => sum + Buffer.byteLength(String(tag)), 0);
    return bytes > limit ? `must be at most ${limit} bytes of UTF-8 in total, are ${bytes}` : undefined;
  };
}

const longText = z
  .string()
  .superRefine(refused((text) => notBlank(text) ?? storable(text) ?? bytesOver(maxTextBytes)(text)));

function label(maxLength: number) {
  return z
    .string()
    .max(maxLength, `must be at most ${maxLength} characters long`)
    .superRefine(refused((text) => notBlank(text) ?? storable(text)));
}

const time = z
  .string()
  .refine((text) => parseIsoTime(text) !== undefined, {
    error:
      'must be an ISO 8601 date or time that exists, e.g. 2026-02-03 or 2026-02-03T10:00:00Z, from 0001-01-02 to 9999-12-30',
  })
  .meta({ description: 'ISO 8601. A date is its first instant; a time without a zone is UTC.' });

/** One memory as `POST …/memories` and `ingest` take it. Unknown fields are errors: a misspelt one would be lost. */
export const memoryInputSchema = z
  .strictObject({
    text: longText.meta({ description: `What is to be remembered: 1 to ${maxTextBytes} bytes of UTF-8.` }),
    context: longText.optional().meta({ description: 'What one has to know to understand the text.' }),
    kind: z
      .enum(['world', 'experience'], { error: 'must be "world" or "experience"' })
      .optional()
      .meta({ description: '`world` (default): a fact. `experience`: something the agent did or lived through.' }),
    tags: z
      .array(label(64))
      .max(32, 'must be at most 32 tags')
      .superRefine(refused(tagBytesOver(maxTagsBytes)))
      .optional()
      .meta({ description: 'The scope: only memories of exactly the same set of tags are consolidated together.' }),
    occurred_start: time.optional(),
    occurred_end: time.optional(),
    mentioned_at: time.optional(),
    source_ref: label(512).optional().meta({ description: 'The same text under the same reference is stored once.' }),
    entities: z.array(label(128)).max(32, 'must be at most 32 names').optional(),
    metadata: z
      .record(z.string(), z.unknown())
      .superRefine(refused(jsonOver(maxMetadataBytes)))
      .optional(),
    dialogue: z
      .array(z.union([z.string(), z.record(z.string(), z.unknown())], { error: 'must be a string or an object' }))
      .max(64, 'must be at most 64 turns')
      .superRefine(refused(jsonOver(maxDialogueBytes)))
      .optional()
      .meta({ description: 'The turns that the text was taken from.' }),
    idempotency_key: label(255)
      .optional()
      .meta({ description: 'The same key is the same memory: sent again, it is reported as a duplicate.' }),
  })
  .superRefine((memory, context) => {
    if (memory.occurred_start === undefined || memory.occurred_end === undefined) return;
    const start = parseIsoTime(memory.occurred_start);
    const end = parseIsoTime(memory.occurred_end);
    if (start !== undefined && end !== undefined && end < start) {
      context.addIssue({ code: 'custom', path: ['occurred_end'], message: 'must not be before occurred_start' });
    }
  })
  .meta({ id: 'MemoryInput' });

export type MemoryInput = z.output<typeof memoryInputSchema>;

export const memoryInputsSchema = z
  .array(memoryInputSchema)
  .min(1, 'must hold at least one memory')
  .max(maxMemoriesPerRequest, `must hold at most ${maxMemoriesPerRequest} memories`);
