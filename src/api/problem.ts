import { z } from 'zod';
import { type LaterChange, NothingNamedError, RefusedError } from '../curation/refusals.ts';
import { isConnectionFailure, sqlState } from '../db/errors.ts';
import { IdempotencyKeyReusedError, IngestKeyConflictError } from '../ingest/ingest-errors.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';
import { ApiError } from './api-error.ts';

export const problemSchema = z
  .strictObject({
    error: z.strictObject({
      code: z.string().meta({ description: 'Stable; to be matched on.' }),
      message: z.string(),
      details: z
        .array(z.strictObject({ path: z.string(), message: z.string() }))
        .optional()
        .meta({
          description:
            'One entry for each field at fault, e.g. `[3].occurred_start`; of `LATER_CHANGES` one for each change that stands in the way, `change set#op`.',
        }),
    }),
  })
  .meta({ id: 'Problem' });

export interface Problem {
  readonly status: number;
  readonly body: z.output<typeof problemSchema>;
}

/** What the sender is told. Nothing that was not written for a sender to read gets out: no stack, no SQL, no text. */
export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof ApiError) return problem(thrown.status, thrown.code, thrown.message, thrown.details);
  if (thrown instanceof IdempotencyKeyReusedError) return problem(422, thrown.code, thrown.message);
  if (thrown instanceof IngestKeyConflictError) return problem(409, thrown.code, thrown.message, thrown.errors);
  if (thrown instanceof RefusedError) return problem(409, thrown.code, thrown.message, thrown.later.map(presentLater));
  if (thrown instanceof NothingNamedError) return problem(404, thrown.code, thrown.message);
  if (isConnectionFailure(thrown))
    return problem(503, 'DATABASE_UNAVAILABLE', 'the database does not answer; try again');
  if (busyStates.has(sqlState(thrown) ?? '')) return problem(503, 'DATABASE_BUSY', 'the database is busy; try again');
  if (thrown instanceof EngramdError && thrown.retryable) return problem(503, thrown.code, thrown.message);
  return requestProblem(thrown) ?? problem(500, 'INTERNAL', 'something went wrong; the log of the daemon says what');
}

/** `path` says which change, `message` what it did and to what. */
function presentLater(later: LaterChange): { path: string; message: string } {
  const path = later.changeSetId === null ? (later.observationId ?? '') : `${later.changeSetId}#${later.seq}`;
  return { path, message: later.at === null ? later.what : `${later.what} (${later.at.toISOString()})` };
}

/** Deadlock and serialisation failure that outlived their retries, lock and statement time-outs, no room on the disk. */
const busyStates = new Set(['40P01', '40001', '55P03', '57014', '53100', '53200', '25P03']);

/** What the HTTP layer itself refuses. */
function requestProblem(thrown: unknown): Problem | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('statusCode' in thrown)) return undefined;
  switch (thrown.statusCode) {
    case 400:
      return problem(400, 'BAD_REQUEST', 'the request is not well-formed');
    case 413:
      return problem(413, 'BODY_TOO_LARGE', 'the body is larger than 1 MiB; send it in parts');
    case 415:
      return problem(415, 'UNSUPPORTED_MEDIA_TYPE', 'writes take JSON: send content-type: application/json');
    case 503:
      return problem(503, 'STOPPING', 'the daemon is stopping');
    default:
      return undefined;
  }
}

function problem(status: number, code: string, message: string, details?: ApiError['details']): Problem {
  return {
    status,
    body: { error: { code, message, ...(details && details.length > 0 && { details: [...details] }) } },
  };
}
