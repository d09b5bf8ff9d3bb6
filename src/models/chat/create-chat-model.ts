import { APIError } from 'openai/core/error';
import type { Queryable } from '../../db/database.ts';
import { assertNoLease } from '../../db/lease.ts';
import type { Clock } from '../../telemetry/clock.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { ModelGate, Performed } from '../model-gate.ts';
import { callWithin } from '../openai/call-within.ts';
import { unreadableAnswer } from '../openai/classify-error.ts';
import type { OpenAiClient } from '../openai/create-client.ts';
import { type EndpointFacts, errorLine } from '../openai/error-message.ts';
import { refusedParameter } from '../openai/refused-parameter.ts';
import { type ContentErrorKind, ModelContentError } from '../provider-errors.ts';
import { afterRefusal } from './abilities.ts';
import { type ChatAnswer, chatAnswerOf, describeBody, type Judged, judge, readCompletion } from './chat-answer.ts';
import type { AnswerReader, ChatContext, ChatModel, ChatRequest } from './chat-model.ts';
import { contextWindowOf } from './context-windows.ts';
import { enlarged, repairOf } from './follow-ups.ts';
import { rememberAbilities } from './remembered-abilities.ts';
import { mostBytes, requestBody } from './request-body.ts';
import { requestHash } from './request-hash.ts';

export interface ChatModelOptions {
  /** Of the endpoint that `client` talks to. */
  readonly gate: ModelGate;
  readonly client: OpenAiClient;
  /** Where it is kept what the model understands. */
  readonly db: Queryable;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'storedAnswers'>;
  /** What the settings are called that errors point to. */
  readonly settings: EndpointFacts['settings'];
  /** Prompt and answer together; unset: what is known of the model. */
  readonly contextTokens?: number | undefined;
  /** Longest wait for a batch or a rewriting; half of it for a pair or a check. */
  readonly timeoutMs: number;
}

/** One request, or a follow-up of it, and what came of it. */
interface Turn<T> {
  readonly answer: ChatAnswer;
  readonly judged: Judged<T>;
  readonly sentAtMs: number;
  /** False: the answer was kept from an earlier request. */
  readonly wasAsked: boolean;
}

interface TurnOptions {
  /** Whether an answer kept under the request's hash is taken instead of asking. */
  readonly usesKept: boolean;
  /** With a limit above the one that the caller asked for. */
  readonly isEnlarged?: boolean;
  /** Its memories have been counted with the request that it follows. */
  readonly isFollowUp?: boolean;
}

/** See {@link ChatModel}. */
export function createChatModel(options: ChatModelOptions): ChatModel {
  const { gate, client, clock, log, metrics, settings, timeoutMs } = options;
  const { endpoint, model } = gate;
  const contextTokens = options.contextTokens ?? contextWindowOf(model);
  const window = { contextTokens, tokensOf: gate.tokensOf };
  const facts: EndpointFacts = { endpoint, model, settings, secrets: [client.apiKey] };
  const remembered = rememberAbilities({ db: options.db, endpoint, model, log });

  function contentError(kind: ContentErrorKind, what: string, sentAtMs: number): ModelContentError {
    const advice = `if it comes often, choose another model with ${settings.model}`;
    return new ModelContentError(kind, errorLine(facts, what, advice), { sentAtMs });
  }

  async function ask<T>(first: ChatRequest, read: AnswerReader<T>, context: ChatContext): Promise<T> {
    assertNoLease('chat');
    context.signal.throwIfAborted();
    const before = context.answeredBefore && (await storedAnswer(context.bankId, context.answeredBefore));
    if (before) {
      const judged = judge(before, read);
      if (judged.kind === 'value') {
        metrics.storedAnswers.inc({ kind: 'answer' });
        return judged.value;
      }
    }

    const kept = await converse(first, read, context, { usesKept: true });
    // What is kept is of no use for as long as it is kept; the model may do better by now.
    const isStale = kept.judged.kind !== 'value' && !kept.wasAsked;
    const turn = isStale ? await converse(first, read, context, { usesKept: false }) : kept;
    const { judged, sentAtMs } = turn;
    switch (judged.kind) {
      case 'value':
        return judged.value;
      case 'truncated':
        throw contentError('truncated', 'was cut off in its answer, also at the larger limit', sentAtMs);
      case 'malformed':
        throw contentError('malformed', 'gave no usable answer, nor a repaired one', sentAtMs);
      case 'refused':
        throw contentError('refused', 'refused to answer', sentAtMs);
      default:
        return judged satisfies never;
    }
  }

  /** The request and what follows from its answer. `wasAsked`: not all of it was kept from before. */
  async function converse<T>(
    first: ChatRequest,
    read: AnswerReader<T>,
    context: ChatContext,
    { usesKept }: { readonly usesKept: boolean },
  ): Promise<Turn<T>> {
    let request = first;
    let turn = await take(request, read, context, { usesKept });
    let { wasAsked } = turn;
    if (turn.judged.kind === 'truncated') {
      const larger = enlarged(request, window);
      if (!larger) {
        throw contentError('truncated', 'had no room left for its answer in its context window', turn.sentAtMs);
      }
      request = larger;
      turn = await take(request, read, context, { usesKept, isEnlarged: true, isFollowUp: true });
      wasAsked ||= turn.wasAsked;
    }
    if (turn.judged.kind === 'malformed') {
      const repair = repairOf(request, turn.answer.content, turn.judged.problem, window);
      // Without room it stays malformed: fewer memories leave more.
      if (repair) {
        const isEnlarged = repair.maxOutputTokens > first.maxOutputTokens;
        turn = await take(repair, read, context, { usesKept, isEnlarged, isFollowUp: true });
        wasAsked ||= turn.wasAsked;
      }
    }
    return { ...turn, wasAsked };
  }

  async function storedAnswer(bankId: string | null, hash: Buffer): Promise<ChatAnswer | null> {
    return bankId === null ? null : chatAnswerOf(await gate.storedAnswer(bankId, hash));
  }

  /** The stored answer to the request, else the model's. */
  async function take<T>(
    request: ChatRequest,
    read: AnswerReader<T>,
    context: ChatContext,
    turnOptions: TurnOptions,
  ): Promise<Turn<T>> {
    const { bankId, signal } = context;
    const hash = requestHash(gate, request);
    const sentAtMs = clock.monotonicMs();
    const stored = turnOptions.usesKept && (await storedAnswer(bankId, hash));
    if (stored) {
      metrics.storedAnswers.inc({ kind: 'answer' });
      return { answer: stored, judged: judge(stored, read), sentAtMs, wasAsked: false };
    }
    const known = await remembered.current();
    await context.onRequest?.(hash);
    const turn = await gate.run(
      {
        purpose: request.purpose,
        bankId,
        requestHash: hash,
        subjectIds: context.subjectIds,
        memories: turnOptions.isFollowUp ? 0 : context.memories,
        promptBytes: mostBytes(model, request, known.abilities, known.areProven),
        maxOutputTokens: request.maxOutputTokens,
      },
      (signal) => perform(request, read, turnOptions, signal),
      signal,
    );
    await remembered.keep();
    return turn;
  }

  /** Asks, and where a part of the request is not understood, asks again without it: that is no outage. */
  async function perform<T>(
    request: ChatRequest,
    read: AnswerReader<T>,
    { isEnlarged }: TurnOptions,
    signal: AbortSignal,
  ): Promise<Performed<Turn<T>>> {
    // Now and not before the wait for a turn: what the first has found out meanwhile, the others need not.
    const first = (await remembered.current()).abilities;
    let used = first;
    for (;;) {
      const sentAtMs = clock.monotonicMs();
      const within = {
        clock,
        signal,
        timeoutMs: timeoutOf(request.purpose, timeoutMs),
        hasAnswered: gate.hasAnswered,
      };
      const reply = await callWithin(facts, within, async (signal) => {
        try {
          const body: unknown = await client.chat(requestBody(model, request, used), signal);
          throwErrorIn(body);
          return { body };
        } catch (thrown) {
          const next = afterRefusal(thrown, used, first);
          if (next) return { next };
          // It was our idea to ask for more, and the next memory may do with what was there before.
          if (isEnlarged && /^max_/.test(refusedParameter(thrown)?.parameter ?? '')) {
            throw contentError('truncated', 'was cut off in its answer and gives no longer one', sentAtMs);
          }
          throw thrown;
        }
      });
      if (reply.next) {
        log.info({ model, from: used, to: reply.next }, 'the model refused a part of the request, asking without it');
        used = reply.next;
        continue;
      }
      const completion = readCompletion(reply.body);
      if (!completion) throw unreadableAnswer(describeBody(reply.body), facts);
      remembered.answered(used);
      const { answer, usage } = completion;
      const judged = judge(answer, read);
      return { value: { answer, judged, sentAtMs, wasAsked: true }, usage, answer, isUsable: judged.kind === 'value' };
    }
  }

  return {
    model,
    endpoint,
    contextTokens,
    tokensOf: (text) => gate.tokensOf(text),
    ask,
    windowTooSmall: (fixedTokens, signal) =>
      gate.misconfigured(
        errorLine(
          facts,
          `has a context window of ${contextTokens} tokens, and the instructions alone take ${fixedTokens} of what it has for a prompt`,
          `if it has more, say so with ${settings.size ?? 'its context window'}, else choose another with ${settings.model}`,
        ),
        signal,
      ),
    readyAt: (purpose) => gate.readyAt(purpose),
    contentFailed: (error, about, purpose) => gate.contentFailed(error, about, purpose),
  };
}

function timeoutOf(purpose: ChatRequest['purpose'], longestMs: number): number {
  switch (purpose) {
    case 'consolidate':
    case 'rewrite':
      return longestMs;
    case 'adjudicate':
    case 'check':
    case 'significance':
      return longestMs / 2;
    default:
      return purpose satisfies never;
  }
}

/** Some routers answer 200 and put the failure of the server behind them into the body. */
function throwErrorIn(body: unknown): void {
  if (typeof body !== 'object' || body === null || !('error' in body) || 'choices' in body) return;
  const { error } = body;
  if (typeof error !== 'object' || error === null) return;
  const code = 'code' in error ? Number(error.code) : Number.NaN;
  const status = Number.isInteger(code) && code >= 400 && code <= 599 ? code : 500;
  throw APIError.generate(status, body, undefined, new Headers());
}
