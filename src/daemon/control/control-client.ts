import { connect } from 'node:net';
import { z } from 'zod';
import { type RpcError, rpcErrorSchema, rpcResultSchema } from '../../api/rpc-schema.ts';
import { fieldErrors, fieldErrorsText } from '../../ingest/field-errors.ts';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';
import { createLineSplitter } from './line-splitter.ts';
import {
  type ControlReply,
  type ControlRequest,
  type ControlType,
  controlErrorSchema,
  controlReplySchemas,
} from './protocol.ts';

export interface CallOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Somebody has the control socket, and no answer comes. */
export class ControlSilentError extends EngramdError {
  readonly code = 'CONTROL_SILENT';
  override readonly retryable = true;
  override readonly exitCode = 3;
}

/** What answers does not speak as this version does. */
export class ControlReplyError extends EngramdError {
  readonly code = 'CONTROL_REPLY';
}

/** The daemon answered with an error, under its code. */
export class ControlRefusedError extends EngramdError {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Far more than any answer; a stranger on the path shall not fill the memory. */
const maxReplyBytes = 64 * 1024 ** 2;

/**
 * Sends one control message and checks the reply. Undefined where nobody listens: no socket, or that of a dead daemon.
 *
 * @throws ControlSilentError, ControlReplyError, ControlRefusedError, and the signal's reason
 */
export async function callControl<R extends ControlRequest>(
  path: string,
  request: R,
  options: CallOptions,
): Promise<ControlReply<R['type']> | undefined> {
  const line = await exchange(path, request, options);
  if (line === undefined) return undefined;
  const type: ControlType = request.type;
  const reply = checked(path, line, z.union([controlReplySchemas[type], controlErrorSchema]));
  if (!reply.ok) throw new ControlRefusedError(reply.error.code, reply.error.message);
  return reply as ControlReply<R['type']>;
}

/**
 * Calls a method by its operation id and checks the result. Undefined where nobody listens.
 *
 * @throws like {@link callControl}; a problem under its own code, e.g. `BANK_NOT_FOUND`
 */
export async function callRpc<T>(
  path: string,
  call: { readonly method: string; readonly params?: Readonly<Record<string, unknown>>; readonly result: z.ZodType<T> },
  options: CallOptions,
): Promise<{ readonly result: T } | undefined> {
  const { method, params } = call;
  const line = await exchange(path, { jsonrpc: '2.0', id: 1, method, ...(params && { params }) }, options);
  if (line === undefined) return undefined;
  const reply = checked(path, line, z.union([rpcResultSchema.extend({ result: call.result }), rpcErrorSchema]));
  if ('error' in reply) throw refusedCall(reply as RpcError);
  return { result: reply.result as T };
}

function refusedCall({ error }: RpcError): ControlRefusedError {
  return new ControlRefusedError(error.data?.code ?? `RPC_${-error.code}`, error.message);
}

function checked<T>(path: string, line: Buffer, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(line.toString());
  } catch (cause) {
    throw new ControlReplyError(`what answers on ${path} does not speak JSON: is it an engramd?`, { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // Of the alternatives, the one that fits best says what is wrong.
  const issues = parsed.error.issues.flatMap((issue) =>
    issue.code === 'invalid_union' ? (issue.errors[0] ?? []) : issue,
  );
  const why = fieldErrorsText(fieldErrors(new z.ZodError(issues as z.core.$ZodIssue[])));
  throw new ControlReplyError(`the daemon on ${path} answers otherwise than this version expects: ${why}`);
}

/** Writes a line and reads one. */
function exchange(path: string, request: object, { timeoutMs, signal }: CallOptions): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const lines = createLineSplitter(maxReplyBytes);
    const socket = connect(path);
    const timer = setTimeout(() => {
      end(() => reject(new ControlSilentError(`the daemon on ${path} did not answer within ${timeoutMs} ms`)));
    }, timeoutMs);
    const aborted = () => end(() => reject(signal?.reason));
    signal?.addEventListener('abort', aborted, { once: true });

    function end(settle: () => void): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      socket.destroy();
      settle();
    }

    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('data', (chunk) => {
      try {
        for (const line of lines.push(chunk)) return end(() => resolve(line));
      } catch (cause) {
        end(() => reject(new ControlReplyError(`what answers on ${path} never ends its line`, { cause })));
      }
    });
    socket.on('end', () =>
      end(() => reject(new ControlSilentError(`the daemon on ${path} closed the connection without an answer`))),
    );
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const isNobody = error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTDIR';
      const why = error.code === 'EACCES' ? 'it belongs to another user' : errorMessage(error);
      end(() => {
        if (isNobody) resolve(undefined);
        else reject(new ControlSilentError(`no answer on ${path}: ${why}`, { cause: error }));
      });
    });
  });
}
