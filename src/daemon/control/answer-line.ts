import { ApiError } from '../../api/api-error.ts';
import { parseJsonBody } from '../../api/json-body.ts';
import { problemOf } from '../../api/problem.ts';
import type { RpcDispatcher } from '../../api/rpc.ts';
import { type RpcError, type RpcResult, rpcError } from '../../api/rpc-schema.ts';
import type { StatusBoard, StatusDocument } from '../../api/status-board.ts';
import { fieldErrors, fieldErrorsText } from '../../ingest/field-errors.ts';
import type { LifeControl } from '../../lifecycle/life-view.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import {
  type ControlError,
  type ControlReply,
  type ControlRequest,
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

/** What a status probe waits for the store; a probe is worth more in time than true to the second. */
const freshMs = 1000;

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
  return { kind: 'in_order', answer: () => answerControl(value, deps) };
}

/** Whichever of both was meant. */
function unreadable(thrown: unknown): RpcError {
  const { message, ...data } = problemOf(thrown).body.error;
  const said = message.replace('the body', 'the line');
  return rpcError(null, thrown instanceof ApiError && thrown.status === 400 ? 'parse' : 'request', said, data);
}

async function answerControl(value: object, deps: AnswerDeps): Promise<ControlReply | ControlError> {
  const parsed = controlRequestSchema.safeParse(value);
  if (!parsed.success) {
    if (!('type' in value)) return controlError('INVALID_MESSAGE', 'neither `type` (control) nor `jsonrpc` (work)');
    if (!controlTypes.some((type) => type === value.type))
      return controlError('UNKNOWN_TYPE', `there is no such type; there are ${controlTypes.join(', ')}`);
    return controlError('INVALID_MESSAGE', fieldErrorsText(fieldErrors(parsed.error)));
  }
  try {
    return await perform(parsed.data, deps);
  } catch (thrown) {
    // Like HTTP: what was not written for a sender to read stays in the log.
    const { code, message } = thrown instanceof EngramdError ? thrown : problemOf(thrown).body.error;
    deps.log.error({ type: parsed.data.type, code, error: errorMessage(thrown) }, 'control message failed');
    return controlError(code, message);
  }
}

async function perform(request: ControlRequest, deps: AnswerDeps): Promise<ControlReply> {
  const { life } = deps.handlers;
  const { type } = request;
  switch (type) {
    case 'status':
      return { ok: true, type, status: await readStatus(request.fresh === true, deps) };
    case 'force_sleep':
      return { ok: true, type, ...(await life.forceSleep(request.reason ?? null)) };
    case 'wake':
      return { ok: true, type, ...(await life.wake(request.reason ?? null)) };
    case 'pause':
      return { ok: true, type, ...(await life.pause(request.seconds === undefined ? null : request.seconds * 1000)) };
    case 'resume':
      return { ok: true, type, ...(await life.resume()) };
  }
}

/** A database that does not answer is no reason to say nothing: `facts_at` tells how old the rest is. */
async function readStatus(isFresh: boolean, { handlers, clock, log }: AnswerDeps): Promise<StatusDocument> {
  const board = handlers.status;
  if (!isFresh) return board.last();
  const over = new AbortController();
  const fresh = board.fresh().catch((thrown: unknown) => {
    log.debug({ error: errorMessage(thrown) }, 'the store could not be read for a status');
    return board.last();
  });
  try {
    return await Promise.race([fresh, clock.sleep(freshMs, over.signal).then(() => board.last())]);
  } finally {
    over.abort();
  }
}
