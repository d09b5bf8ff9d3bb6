import type { z } from 'zod';

export interface RouteInput<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly idempotencyKey: string | undefined;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

export interface RouteAnswer<R> {
  readonly status: number;
  readonly body: R;
  readonly headers?: Readonly<Record<string, string>>;
}

type Shape = z.ZodType;

/** One route: what it takes, what it gives, and what it does. Validation and OpenAPI both come from here. */
export interface Route<
  P extends Shape = Shape,
  Q extends Shape = Shape,
  B extends Shape = Shape,
  R extends Shape = Shape,
> {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** With parameters as OpenAPI writes them: `/v1/banks/{bank}`. Also the metric label. */
  readonly path: `/v1/${string}`;
  readonly operationId: string;
  readonly summary: string;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  /** Which of the shapes of a union a value is meant to be. */
  readonly bodyOf?: (value: unknown) => z.ZodType<z.output<B>>;
  /** Of every success. */
  readonly response: R;
  readonly successStatus: number;
  readonly takesIdempotencyKey?: boolean;
  /** Counts as activity (law L11). Reading what the daemon itself is doing does not. */
  readonly isWork: boolean;
  /** Answers line by line, for as long as both sides want, `response` being a line's: HTTP only. See {@link streamRoute}. */
  readonly isStream?: true;
  handle(input: RouteInput<z.output<P>, z.output<Q>, z.output<B>>): Promise<RouteAnswer<z.input<R>>>;
}

/** Checks a route's types against each other and then forgets them, so that routes fit into one list. */
export function route<P extends Shape, Q extends Shape, B extends Shape, R extends Shape>(
  spec: Route<P, Q, B, R>,
): Route {
  return spec as unknown as Route;
}

/**
 * The same for an answer without an end. It counts as activity once, as it is opened: `handle` gives the lines and is done,
 * and a request that is answered is not in flight.
 */
export function streamRoute<P extends Shape, Q extends Shape, R extends Shape>(
  spec: Omit<Route<P, Q, Shape, R>, 'handle' | 'isStream'> & {
    handle(
      input: RouteInput<z.output<P>, z.output<Q>, unknown>,
    ): Promise<RouteAnswer<AsyncIterable<z.input<R>, void, void>>>;
  },
): Route {
  return { ...spec, isStream: true } as unknown as Route;
}
