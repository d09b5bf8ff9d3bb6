import type { ModelContentError, ModelUnavailableError } from '../provider-errors.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** A JSON schema in the strict subset: every property required, `additionalProperties: false`, no default, no format. */
export type StrictJsonSchema = Readonly<Record<string, unknown>>;

export interface ChatRequest {
  readonly purpose: 'consolidate' | 'adjudicate' | 'rewrite' | 'check' | 'significance';
  /** The first is the byte-stable prefix that providers cache. */
  readonly messages: readonly ChatMessage[];
  readonly answer: { readonly name: string; readonly schema: StrictJsonSchema };
  /** Of the prompt file; part of the request hash. */
  readonly promptVersion: string;
  /** Reasoning included. */
  readonly maxOutputTokens: number;
}

export interface ChatContext {
  readonly bankId: string | null;
  readonly subjectIds: readonly string[];
  readonly memories: number;
  readonly signal: AbortSignal;
  /** Told, and awaited, before a request is sent that has no stored answer. */
  readonly onRequest?: ((requestHash: Buffer) => Promise<void>) | undefined;
  /** Of a batch that died: an answer stored under this hash is taken instead of asking. */
  readonly answeredBefore?: Buffer | undefined;
}

/**
 * Reads an answer's JSON; `problem` says, for the model to read, what is wrong with it. Lenient where an answer can be
 * salvaged: one malformed element costs that element.
 */
export type AnswerReader<T> = (json: unknown) => { readonly value: T } | { readonly problem: string };

/** One language model at one OpenAI-compatible endpoint, for JSON answers. */
export interface ChatModel {
  readonly model: string;
  readonly endpoint: string;
  /** Prompt and answer together. */
  readonly contextTokens: number;
  tokensOf(text: string): number;
  /**
   * Asks until there is an answer that `read` accepts: a stored one, else the model's, a truncated one once more with a
   * larger limit, a malformed one repaired once. Never the same request twice.
   *
   * @throws ModelContentError, ModelUnavailableError, BudgetSpentError, ScoreTooLargeError, or the signal's reason
   */
  ask<T>(request: ChatRequest, read: AnswerReader<T>, context: ChatContext): Promise<T>;
  /**
   * The fixed part of a prompt alone takes more than the window leaves for it. See `ModelGate.misconfigured`.
   *
   * @param fixedTokens by `tokensOf`
   */
  windowTooSmall(fixedTokens: number, signal: AbortSignal): Promise<ModelUnavailableError>;
  /** See `ModelGate.readyAt`. */
  readyAt(purpose?: ChatRequest['purpose']): Promise<Date | null>;
  /** See `ModelGate.contentFailed`. */
  contentFailed(error: ModelContentError, about: string, purpose?: ChatRequest['purpose']): Promise<'memory' | 'model'>;
}
