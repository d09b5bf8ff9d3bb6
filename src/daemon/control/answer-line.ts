import { ApiError } from '../../api/api-error.ts';
import { parseJsonBody } from '../../api/json-body.ts';
import { problemOf } from '../../api/problem.ts';
import type { RpcDispatcher } from '../../api/rpc.ts';
import { type RpcError, type RpcResult, rpcError } from '../../api/rpc-schema.ts';
import { readStatus, type StatusBoard, statusWaitMs } from '../../api/status-board.ts';
import { DatabaseUnreachableError, explainDatabaseError, isConnectionFailure } from '../../db/errors.ts';
import { fieldErrors, fieldErrorsText } from '../../ingest/field-errors.ts';
import type { ControlResult, LifeControl } from '../../lifecycle/life-view.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import {
  type ControlError,
  type ControlReply,
  type ControlRequest,
  type ControlType,
  controlError,
  controlRequestSchema,
  controlTypes,
} from './protocol.ts';

export interface AnswerDeps {
  readonly handlers: { readonly status: StatusBoard; readonly life: LifeControl };
  readonly dispatch: RpcDispatcher;
  readonly clock: Clock;
  readonly log: Log;
}

type Reply = ControlReply | ControlError | RpcResult | RpcError;

/** What a line asks for. `calls`: its reply carries an id and may overtake others. */
export type Asked =
  | { readonly kind: 'call'; readonly reply: Promise<Reply> }
  | { readonly kind: 'in_order'; readonly answer: () => Promise<Reply> };

/**
 * From the coming of a message to its answer, what stood before it in the line included: people wait, and a status behind
 * it, too. A message changes one row.
 */
const answerMs = 3000;

/** Reads a line and says how it is answered. Neither throws nor rejects. */
export function askedBy(line: Buffer, signal: AbortSignal, deps: AnswerDeps): Asked {
  let value: unknown;
  try {
    value = parseJsonBody(line);
  } catch (thrown) {
    const reply = unreadable(thrown);
    return { kind: 'in_order', answer: async () => reply };
  }
  // Only an object without `jsonrpc` is of the control plane: the others have an error of their own in JSON-RPC.
  if (typeof value !== 'object' || value === null || Array.isArray(value) || 'jsonrpc' in value)
    return { kind: 'call', reply: deps.dispatch(value, signal) };
  const untilMs = deps.clock.monotonicMs() + answerMs;
  return { kind: 'in_order', answer: () => answerControl(value, untilMs, deps) };
}

/** Whichever of both was meant. */
function unreadable(thrown: unknown): RpcError {
  const { message, ...data } = problemOf(thrown).body.error;
  const said = message.replace('the body', 'the line');
  return rpcError(null, thrown instanceof ApiError && thrown.status === 400 ? 'parse' : 'request', said, data);
}

async function answerControl(value: object, untilMs: number, deps: AnswerDeps): Promise<ControlReply | ControlError> {
  const parsed = controlRequestSchema.safeParse(value);
  if (!parsed.success) {
    if (!('type' in value)) return controlError('INVALID_MESSAGE', 'neither `type` (control) nor `jsonrpc` (work)');
    if (!controlTypes.some((type) => type === value.type))
      return controlError('UNKNOWN_TYPE', `there is no such type; there are ${controlTypes.join(', ')}`);
    return controlError('INVALID_MESSAGE', fieldErrorsText(fieldErrors(parsed.error)));
  }
  try {
    return await perform(parsed.data, untilMs, deps);
  } catch (thrown) {
    // Like HTTP: what was not written for a sender to read stays in the log. Why a database refuses was, for its owner.
    const explained = isConnectionFailure(thrown) ? thrown : explainDatabaseError(thrown);
    const { code, message } = explained instanceof EngramdError ? explained : problemOf(explained).body.error;
    deps.log.error({ type: parsed.data.type, code, error: errorMessage(thrown) }, 'control message failed');
    return controlError(code, message);
  }
}

async function perform(request: ControlRequest, untilMs: number, deps: AnswerDeps): Promise<ControlReply> {
  const { life, status } = deps.handlers;
  const { type } = request;
  const leftMs = untilMs - deps.clock.monotonicMs();
  switch (type) {
    case 'status': {
      const waitMs = Math.max(0, Math.min(statusWaitMs, leftMs));
      return { ok: true, type, status: request.fresh ? await readStatus(status, { ...deps, waitMs }) : status.last() };
    }
    case 'force_sleep':
      return { ok: true, type, ...(await inTime(type, leftMs, deps, () => life.forceSleep(request.reason ?? null))) };
    case 'wake':
      return { ok: true, type, ...(await inTime(type, leftMs, deps, () => life.wake(request.reason ?? null))) };
    case 'pause': {
      const forMs = request.seconds === undefined ? null : request.seconds * 1000;
      return { ok: true, type, ...(await inTime(type, leftMs, deps, () => life.pause(forMs))) };
    }
    case 'resume':
      return { ok: true, type, ...(await inTime(type, leftMs, deps, () => life.resume())) };
  }
}

/** @throws DatabaseUnreachableError where the answer does not come in time, or the turn of the message did not */
async function inTime(
  type: ControlType,
  leftMs: number,
  { clock, log }: AnswerDeps,
  work: () => Promise<ControlResult>,
): Promise<ControlResult> {
  const limit = `${answerMs / 1000} s`;
  if (leftMs <= 0)
    throw new DatabaseUnreachableError(
      `the message before this one got no answer of the database within ${limit}; this one was not begun`,
    );
  const over = new AbortController();
  let isLate = false;
  const result = work();
  // Nobody waits for it any more, but it goes on.
  result.catch((thrown: unknown) => {
    if (isLate) log.warn({ type, error: errorMessage(thrown) }, 'a control message that was given up has failed');
  });
  const late = clock.sleep(leftMs, over.signal).then((): never => {
    isLate = true;
    throw new DatabaseUnreachableError(
      `the database has not answered within ${limit}; what was asked may still take effect`,
    );
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([result, late]);
  } finally {
    over.abort();
  }
}
