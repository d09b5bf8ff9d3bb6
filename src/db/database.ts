import pg from 'pg';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { sqlState } from './errors.ts';
import { assertNoLease, onLeaseViolation, withLease } from './lease.ts';

export interface QueryResult<Row> {
  readonly rows: Row[];
  readonly rowCount: number;
}

/** Something a statement can be sent to: the pool, or the one connection of a transaction. */
export interface Queryable {
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<QueryResult<Row>>;
}

/** A connection inside a transaction. Only {@link Database.tx} hands one out, and it is dead when that returns. */
export interface Tx extends Queryable {
  readonly label: string;
}

export interface TxOptions {
  /** Names the transaction in errors and metrics. */
  readonly label: string;
  readonly isolation?: 'read committed' | 'repeatable read';
  readonly readOnly?: boolean;
  /** How often a deadlock (40P01) or serialisation failure (40001) runs the whole of it again. Default 5. */
  readonly retries?: number;
}

/** The only two ways to a connection, and neither can be kept across a model call. */
export interface Database extends Queryable {
  /**
   * Runs `work` in one transaction and commits it. `work` may run again after a deadlock, so it must keep its effects
   * to the transaction and its return value.
   */
  tx<T>(options: TxOptions, work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Connections by state; `waiting` counts callers without one. */
  poolCounts(): { used: number; idle: number; waiting: number };
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly connectionString: string;
  readonly poolMax: number;
  readonly applicationName: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** 0 to 1; spreads the retries of transactions that met each other. */
  readonly random?: () => number;
}

/**
 * Belt for a transaction that hangs: the server ends it, whatever state we are in. SET LOCAL, since start-up options
 * are refused by a transaction-mode pooler; in the same round trip as BEGIN.
 */
const transactionLimits =
  "SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL lock_timeout = '20s'; SET LOCAL statement_timeout = '60s'";

const beginStatements = {
  'read committed': {
    write: 'BEGIN ISOLATION LEVEL READ COMMITTED',
    read: 'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY',
  },
  'repeatable read': {
    write: 'BEGIN ISOLATION LEVEL REPEATABLE READ',
    read: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
  },
} as const;

const retryableStates = new Set(['40P01', '40001']);

/** bigint columns are counters and versions, far below 2^53; a Number keeps them comparable and JSON-safe. */
function parseBigint(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`a bigint beyond 2^53 came back: ${text}`);
  return value;
}

const customTypes: pg.CustomTypesConfig = {
  // biome-ignore lint/suspicious/noExplicitAny: pg types the parser's result as any
  getTypeParser(oid: number, format?: 'text' | 'binary'): any {
    if (oid === pg.types.builtins.INT8 && format !== 'binary') return parseBigint;
    return pg.types.getTypeParser(oid, format as 'text');
  },
};

export function createDatabase(options: DatabaseOptions): Database {
  const { log, clock, metrics } = options;
  const random = options.random ?? Math.random;
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.poolMax,
    application_name: options.applicationName,
    connectionTimeoutMillis: 30_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    types: customTypes,
    // Never the reason that a command does not end.
    allowExitOnIdle: true,
  });
  // Without a listener an idle connection's end (a server restart) is an uncaught exception.
  pool.on('error', (error) => {
    // Closing does not wait for the goodbye to arrive, so a server that is stopped next may still cut it short.
    if (!pool.ending) log.warn({ error: errorMessage(error) }, 'an idle database connection ended');
  });
  const stopListening = onLeaseViolation(() => metrics.heldConnectionViolations.inc());

  async function withClient<T>(label: string, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    assertNoLease(`a second connection ("${label}")`);
    const client = await pool.connect();
    const startedMs = clock.monotonicMs();
    // pg-pool takes its own listener off while a client is out; an unheard 'error' would end the process.
    const onError = (error: Error) =>
      log.warn({ error: errorMessage(error), label }, 'a database connection ended in use');
    client.on('error', onError);
    let broken: Error | undefined;
    try {
      return await withLease(label, () => work(client));
    } catch (thrown) {
      // A statement that failed leaves a usable connection; anything without a SQLSTATE may not.
      const state = sqlState(thrown);
      if (state === undefined || state.startsWith('57P') || state.startsWith('08')) broken = thrown as Error;
      throw thrown;
    } finally {
      client.off('error', onError);
      metrics.poolHoldSeconds.observe((clock.monotonicMs() - startedMs) / 1000);
      client.release(broken);
    }
  }

  async function run<Row>(client: pg.ClientBase, text: string, values?: readonly unknown[]): Promise<QueryResult<Row>> {
    const result = values === undefined ? await client.query(text) : await client.query(text, values as unknown[]);
    // Several statements in one text come back as a list; callers of such texts use the last.
    const last = Array.isArray(result) ? result.at(-1) : result;
    return { rows: last.rows as Row[], rowCount: last.rowCount ?? 0 };
  }

  async function attempt<T>(txOptions: TxOptions, work: (tx: Tx) => Promise<T>): Promise<T> {
    return withClient(txOptions.label, async (client) => {
      const begin = beginStatements[txOptions.isolation ?? 'read committed'];
      await client.query(`${txOptions.readOnly ? begin.read : begin.write}; ${transactionLimits}`);
      try {
        const result = await work({ label: txOptions.label, query: (text, values) => run(client, text, values) });
        await client.query('COMMIT');
        return result;
      } catch (thrown) {
        await client.query('ROLLBACK').catch((error: unknown) => {
          log.warn({ error: errorMessage(error), label: txOptions.label }, 'rollback failed; the server will do it');
        });
        throw thrown;
      }
    });
  }

  return {
    query: (text, values) => withClient('query', (client) => run(client, text, values)),

    async tx(txOptions, work) {
      const retries = txOptions.retries ?? 5;
      for (let retry = 0; ; retry += 1) {
        try {
          return await attempt(txOptions, work);
        } catch (thrown) {
          const state = sqlState(thrown);
          if (state === undefined || !retryableStates.has(state) || retry >= retries) throw thrown;
          metrics.transactionRetries.inc({ sqlstate: state });
          await clock.sleep(random() * 20 * 2 ** retry);
        }
      }
    },

    poolCounts: () => ({
      used: pool.totalCount - pool.idleCount,
      idle: pool.idleCount,
      waiting: pool.waitingCount,
    }),

    async close() {
      stopListening();
      await pool.end();
    },
  };
}
