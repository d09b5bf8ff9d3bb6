import { wordVector } from '../fake-embedder.ts';
import { answer, type Reply, type ScriptedRequest } from './reply.ts';

/** What consolidation sends: the JSON of the first user message. */
export interface ScriptedBatch {
  readonly mission: string;
  readonly notes: readonly string[];
  readonly observations: readonly {
    readonly id: string;
    readonly text: string;
    readonly valid_from: string | null;
    readonly sources: readonly { readonly text: string; readonly mentioned_at: string | null }[];
  }[];
  readonly memories: readonly {
    readonly id: string;
    readonly text: string;
    readonly context: string | null;
    readonly mentioned_at: string | null;
  }[];
}

export interface ScriptedPair {
  readonly held: { readonly text: string; readonly valid_from: string | null };
  readonly offered: { readonly text: string; readonly valid_from: string | null };
  readonly admissible: readonly string[];
}

export interface ScriptedRewrite {
  readonly text: string;
  readonly sources: readonly { readonly text: string; readonly mentioned_at: string | null }[];
}

/** An operation of the strict schema: every field there, null where it does not apply. */
export interface ScriptedOp {
  readonly op: string;
  readonly target: string | null;
  readonly into: string | null;
  readonly as: string | null;
  readonly text: string | null;
  readonly memories: readonly string[];
  readonly valid_from: string | null;
  readonly reason: string;
}

export function op(kind: string, fields: Partial<Omit<ScriptedOp, 'op'>> = {}): ScriptedOp {
  const none = { target: null, into: null, as: null, text: null, memories: [], valid_from: null, reason: 'scripted' };
  return { op: kind, ...none, ...fields };
}

/** What scoring sends. */
export interface ScriptedScores {
  readonly memories: readonly {
    readonly alias: string;
    readonly text: string;
    readonly context: string | null;
    readonly dialogue: readonly unknown[];
  }[];
}

export type ScriptedPurpose = 'significance' | 'consolidate' | 'adjudicate' | 'rewrite' | 'check' | 'embed';

/** By the shape of what is asked, so that it also holds where the schema is not sent as a schema. */
export function purposeOf(request: ScriptedRequest): ScriptedPurpose {
  if (request.path.endsWith('/embeddings')) return 'embed';
  const document = documentOf(request);
  if (Array.isArray(document.memories)) return 'observations' in document ? 'consolidate' : 'significance';
  if ('held' in document && 'offered' in document) return 'adjudicate';
  if (Array.isArray(document.sources)) return 'rewrite';
  return 'check';
}

export function batchOf(request: ScriptedRequest): ScriptedBatch {
  return documentOf(request) as unknown as ScriptedBatch;
}

export function scoresOf(request: ScriptedRequest): ScriptedScores {
  return documentOf(request) as unknown as ScriptedScores;
}

export function pairOf(request: ScriptedRequest): ScriptedPair {
  return documentOf(request) as unknown as ScriptedPair;
}

export function rewriteOf(request: ScriptedRequest): ScriptedRewrite {
  return documentOf(request) as unknown as ScriptedRewrite;
}

/** How many turns the conversation has: 2 at first, 4 when a malformed answer is to be repaired. */
export function turnsOf(request: ScriptedRequest): number {
  return messagesOf(request).length;
}

export function inputsOf(request: ScriptedRequest): readonly string[] {
  const input = request.body.input;
  return typeof input === 'string' ? [input] : Array.isArray(input) ? input.map(String) : [];
}

function messagesOf(request: ScriptedRequest): readonly { role: string; content: string }[] {
  const messages = request.body.messages;
  return Array.isArray(messages) ? messages : [];
}

function documentOf(request: ScriptedRequest): Record<string, unknown> {
  const content = messagesOf(request).find(({ role }) => role === 'user')?.content ?? '{}';
  try {
    const document: unknown = JSON.parse(content);
    return typeof document === 'object' && document !== null ? (document as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

const alike = (text: string): string => text.trim().toLowerCase();

/** An honest model of little wit: keeps texts as they are and takes equal ones for one. */
export function answerHonestly(request: ScriptedRequest): Reply {
  const purpose = purposeOf(request);
  switch (purpose) {
    case 'consolidate':
      return answer({ ops: opsFor(batchOf(request)) });
    case 'significance':
      return answer({ scores: scoresOf(request).memories.map(honestScore) });
    case 'adjudicate': {
      const { held, offered } = pairOf(request);
      const verdict = alike(held.text) === alike(offered.text) ? 'same' : 'different';
      return answer({ verdict, reason: `the texts are ${verdict === 'same' ? 'equal' : 'not equal'}` });
    }
    case 'rewrite': {
      const { text, sources } = rewriteOf(request);
      return answer({ text: sources.at(-1)?.text ?? text, reason: 'what the newest source says' });
    }
    case 'check':
      return answer({ ok: true });
    case 'embed':
      return embedHonestly(request);
    default:
      return purpose satisfies never;
  }
}

/** By a word or two; names are what begins with a capital inside the text. */
export function honestScore({ alias, text }: ScriptedScores['memories'][number]) {
  const significance = /allerg|remember/i.test(text)
    ? 3
    : /always|never|lives|birthday/i.test(text)
      ? 2
      : /thank/i.test(text)
        ? 0
        : 1;
  return { alias, significance, entities: text.match(/(?<=\s)\p{Lu}\p{L}+/gu) ?? [] };
}

/** One operation a text: equal memories create one observation together, or reinforce the one shown. */
export function opsFor(batch: ScriptedBatch): ScriptedOp[] {
  const byText = Map.groupBy(batch.memories, ({ text }) => alike(text));
  let created = 0;
  return [...byText].map(([text, memories]) => {
    const ids = memories.map(({ id }) => id);
    const known = batch.observations.find((observation) => alike(observation.text) === text);
    if (known) return op('reinforce', { target: known.id, memories: ids, reason: 'says the same' });
    created += 1;
    return op('create', {
      as: `n${created}`,
      text: memories[0]?.text ?? '',
      memories: ids,
      valid_from: null,
      reason: 'a new fact',
    });
  });
}

/** Vectors by the words of a text; 512 numbers unless asked otherwise. */
export function embedHonestly(request: ScriptedRequest): Reply {
  const asked = request.body.dimensions;
  const dimensions = typeof asked === 'number' ? asked : 512;
  return { kind: 'vectors', vectors: inputsOf(request).map((text) => wordVector(text, dimensions)) };
}
