import pg from 'pg';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import {
  DatabaseClosedError,
  RestoreUnderWayError,
  StoreReplacedError,
  sqlState,
  storeReplacedState,
  TransactionAbortedError,
  TransactionOverError,
} from './errors.ts';
import { assertNoLease, onLeaseViolation, withLease } from './lease.ts';
import { createPoolRest } from './pool-rest.ts';

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
   *
   * @throws TransactionAbortedError if `work` returned although one of its statements had failed: nothing was committed
   * @throws StoreReplacedError, RestoreUnderWayError where it writes and {@link pinStore} was called; nothing was done
   */
  tx<T>(options: TxOptions, work: (tx: Tx) => Promise<T>): Promise<T>;
  /**
   * From now on what is written, in a transaction or by one statement, goes to the store of this epoch or nowhere (law L22). Before it, there may be no store
   * yet. `onReplaced` is told once, by the first transaction that finds another one in its place.
   */
  pinStore(epoch: number, onReplaced: (error: StoreReplacedError) => void): void;
  /** Connections by state; `waiting` counts callers without one. */
  poolCounts(): { used: number; idle: number; waiting: number };
  /**
   * Ends every connection there is at this moment: idle ones now, those that are out as they come back, for which it
   * waits. The next query connects again, and so does whoever waits for a connection meanwhile; but until {@link rouse}
   * no connection is kept for the one after it. How long to wait is the caller's to say: what comes back later is ended
   * all the same. Must not be called while holding a connection.
   */
  rest(): Promise<void>;
  /** Connections are kept again. */
  rouse(): void;
  /**
   * Waits for the connections that are out. Whoever still waits for one gets a DatabaseClosedError now, and so does
   * whoever asks later. A second call waits for the first.
   */
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

/**
 * Comes with the BEGIN of a writing transaction, which costs no round trip; a text of several statements takes no
 * parameters, and an integer needs none. What the transaction waits for here is a restore that is about to commit, so the
 * lock comes first: LOCK takes no snapshot, and the function looks when the restore is through.
 */
function holdStore(epoch: number): string {
  if (!Number.isSafeInteger(epoch)) throw new RangeError(`no epoch of a store: ${epoch}`);
  return `LOCK TABLE engram.store IN ACCESS SHARE MODE; SELECT engram.hold_store(${epoch})`;
}

/**
 * A statement of ours that writes to the store by itself. None of pg-boss does, whose jobs are hints; what is found here
 * although it only reads costs two round trips.
 */
const writesToStore = /\b(?:insert\s+into|update|delete\s+from)\s+engram\./i;

const retryableStates = new Set(['40P01', '40001']);

/** A statement that failed leaves a usable connection. A shutdown (57P) does not; without a SQLSTATE nobody knows. */
function isFailedStatement(thrown: unknown): boolean {
  const state = sqlState(thrown);
  return state !== undefined && !state.startsWith('57P') && !state.startsWith('08');
}

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

/**
 * pg-pool drops a client that could not connect without hanging up. One that itself gave up on the handshake (no
 * password) kept the server waiting for a minute, and with it whoever dropped a database there.
 */
class PoliteClient extends pg.Client {
  override connect(): Promise<pg.Client>;
  override connect(callback: (error: Error | null) => void): void;
  override connect(callback?: (error: Error | null) => void): Promise<pg.Client> | undefined {
    if (!callback) return super.connect();
    super.connect((error: Error | null) => {
      if (error) this.end(() => undefined);
      callback(error);
    });
    return undefined;
  }
}

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
    Client: PoliteClient,
  });
  // Without a listener an idle connection's end (a server restart) is an uncaught exception.
  pool.on('error', (error) => {
    // Closing does not wait for the goodbye to arrive, so a server that is stopped next may still cut it short.
    if (!pool.ending) log.warn({ error: errorMessage(error) }, 'an idle database connection ended');
  });
  const { isRetired, rest, rouse } = createPoolRest(pool);
  const stopListening = onLeaseViolation(() => metrics.heldConnectionViolations.inc());

  let pinned: { readonly hold: string } | undefined;
  let tellOfReplacement: (error: StoreReplacedError) => void = () => undefined;

  /** Callers without a connection yet; told when there will not be one. */
  const waiting = new Set<(reason: Error) => void>();

  /**
   * A connection with `onError` already listening: pg-pool takes its own listener off, and an error that comes in the
   * same packet as the connection would otherwise be an uncaught exception.
   */
  function checkOut(onError: (error: Error) => void): Promise<pg.PoolClient> {
    const { promise, resolve, reject } = Promise.withResolvers<pg.PoolClient>();
    if (pool.ending) reject(new DatabaseClosedError());
    else {
      waiting.add(reject);
      pool.connect((error, client) => {
        const isAwaited = waiting.delete(reject);
        if (!client) return reject(error ?? new DatabaseClosedError());
        if (!isAwaited) return client.release();
        client.on('error', onError);
        resolve(client);
      });
    }
    return promise;
  }

  /** `isUsable` decides after a failure whether the next one may have the connection. */
  async function withClient<T>(
    label: string,
    work: (client: pg.PoolClient) => Promise<T>,
    isUsable: (thrown: unknown) => boolean,
  ): Promise<T> {
    assertNoLease(`a second connection ("${label}")`);
    const onError = (error: Error) =>
      log.warn({ error: errorMessage(error), label }, 'a database connection ended in use');
    const client = await checkOut(onError);
    const startedMs = clock.monotonicMs();
    let isBroken = false;
    try {
      return await withLease(label, () => work(client));
    } catch (thrown) {
      isBroken = !isUsable(thrown);
      throw thrown;
    } finally {
      client.off('error', onError);
      metrics.poolHoldSeconds.observe((clock.monotonicMs() - startedMs) / 1000);
      client.release(isBroken || isRetired(client));
    }
  }

  async function run<Row>(client: pg.ClientBase, text: string, values?: readonly unknown[]): Promise<QueryResult<Row>> {
    const result = values === undefined ? await client.query(text) : await client.query(text, values as unknown[]);
    // Several statements in one text come back as a list; callers of such texts use the last.
    const last = Array.isArray(result) ? result.at(-1) : result;
    return { rows: last.rows as Row[], rowCount: last.rowCount ?? 0 };
  }

  async function attempt<T>(txOptions: TxOptions, work: (tx: Tx) => Promise<T>): Promise<T> {
    const { label } = txOptions;
    let isOver = false;
    let isClean = false;
    const perform = async (client: pg.PoolClient): Promise<T> => {
      const tx: Tx = {
        label,
        // The connection may by then be in somebody else's transaction.
        query: async (text, values) => {
          if (isOver) throw new TransactionOverError(label);
          return run(client, text, values);
        },
      };
      try {
        await begin(client, txOptions);
        const result = await work(tx);
        isOver = true;
        // PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK, and calls that a success.
        const { command } = await client.query('COMMIT');
        isClean = true;
        if (command !== 'COMMIT') throw new TransactionAbortedError(label);
        return result;
      } catch (thrown) {
        isOver = true;
        if (!isClean) isClean = await rollBack(client, label);
        throw thrown;
      }
    };
    return withClient(label, perform, () => isClean);
  }

  async function begin(client: pg.PoolClient, { isolation, readOnly }: TxOptions): Promise<void> {
    const statements = beginStatements[isolation ?? 'read committed'];
    const text = `${readOnly ? statements.read : statements.write}; ${transactionLimits}`;
    if (readOnly || !pinned) {
      await client.query(text);
      return;
    }
    try {
      await client.query(`${text}; ${pinned.hold}`);
    } catch (thrown) {
      const state = sqlState(thrown);
      // Nobody but a restore keeps others from looking at that table.
      if (state === '55P03') throw new RestoreUnderWayError({ cause: thrown });
      if (state !== storeReplacedState) throw thrown;
      const replaced = new StoreReplacedError({ cause: thrown });
      tellOfReplacement(replaced);
      throw replaced;
    }
  }

  async function rollBack(client: pg.PoolClient, label: string): Promise<boolean> {
    try {
      await client.query('ROLLBACK');
      return true;
    } catch (thrown) {
      log.warn({ error: errorMessage(thrown), label }, 'rollback failed; the server will do it');
      return false;
    }
  }

  let closing: Promise<void> | undefined;

  async function closePool(): Promise<void> {
    stopListening();
    const ended = pool.end();
    // pg-pool would let them wait for their 30 seconds: it serves nobody once it is ending.
    for (const reject of waiting) reject(new DatabaseClosedError());
    waiting.clear();
    await ended;
  }

  return {
    query: (text, values) =>
      pinned && writesToStore.test(text)
        ? attempt({ label: 'query' }, (tx) => tx.query(text, values))
        : withClient('query', (client) => run(client, text, values), isFailedStatement),

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

    pinStore(epoch, onReplaced) {
      pinned = { hold: holdStore(epoch) };
      tellOfReplacement = (error) => {
        tellOfReplacement = () => undefined;
        onReplaced(error);
      };
    },

    poolCounts: () => ({
      used: pool.totalCount - pool.idleCount,
      idle: pool.idleCount,
      waiting: pool.waitingCount,
    }),

    rouse,
    async rest() {
      // It would wait for its own caller.
      assertNoLease('letting the pool rest');
      await (closing ?? rest());
    },

    close() {
      closing ??= closePool();
      return closing;
    },
  };
}
