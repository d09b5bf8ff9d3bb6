import type { Amounts } from '../store/budget-ledger.ts';
import { ModelContentError, ProviderError } from './provider-errors.ts';

/** What became of a request that brought nothing back. */
export type CallEnd =
  /** Its caller gave up while it was out. */
  { readonly kind: 'aborted' } | { readonly kind: 'thrown'; readonly error: unknown };

/** What a failed request is booked with. */
export type Spent =
  | 'nothing'
  /** It was read, as far as anybody knows, and answered into the void. */
  | 'prompt'
  /** The most that it could cost. */
  | 'reservation';

/** By this a connection was never made. */
const neverSent = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/**
 * Law L19: a server that refuses charges nothing; one that was cut off or took too long has most likely charged for what it
 * read; what is not known has cost all that it could.
 */
export function spentOn(end: CallEnd): Spent {
  if (end.kind === 'aborted') return 'prompt';
  const { error } = end;
  if (error instanceof ProviderError) return spentOnProviderError(error);
  if (error instanceof ModelContentError) {
    switch (error.kind) {
      // Refused before anything was made of it.
      case 'too_long':
      case 'refused':
        return 'nothing';
      case 'truncated':
      case 'malformed':
        return 'reservation';
      default:
        return error.kind satisfies never;
    }
  }
  return 'prompt';
}

function spentOnProviderError(error: ProviderError): Spent {
  switch (error.errorClass) {
    case 'timeout':
      return 'prompt';
    case 'transient':
      return error.status !== null || wasNeverSent(error) ? 'nothing' : 'prompt';
    case 'rate_limit':
    case 'quota':
    case 'auth':
    case 'configuration':
      return 'nothing';
    default:
      return error.errorClass satisfies never;
  }
}

function wasNeverSent(error: ProviderError): boolean {
  let cause: unknown = error.cause;
  // As deep as a client's own error stands above that of the socket.
  for (let depth = 0; depth < 5 && typeof cause === 'object' && cause !== null; depth += 1) {
    if ('code' in cause && neverSent.has(String(cause.code))) return true;
    if (cause instanceof AggregateError) return cause.errors.every((each) => neverSent.has(String(each?.code)));
    cause = 'cause' in cause ? cause.cause : undefined;
  }
  return false;
}

/** Tokens of the prompt by what the model has charged so far; never beyond what was reserved. */
export function promptTokensOf(promptBytes: number, tokensPerByte: number): number {
  return Math.min(promptBytes, Math.ceil(promptBytes * tokensPerByte));
}

export const nothingSpent: Amounts = { nanoUsd: 0, tokens: 0, unpricedTokens: 0 };
