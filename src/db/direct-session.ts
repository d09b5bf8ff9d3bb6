import type { Readable, Writable } from 'node:stream';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import type { Queryable, QueryResult } from './database.ts';

/**
 * One connection of its own, past pool and pooler, for work that holds a snapshot or a session lock: backups, their
 * verification, restores. Limits of time are the caller's: the server ends nothing by itself.
 */
export interface DirectSession extends Queryable {
  /** Runs several statements without parameters. */
  script(text: string): Promise<void>;
  /** Rows of a `COPY … TO STDOUT`. Must be read to its end, or destroyed, before the next statement. */
  copyOut(statement: string): Readable;
  /** Takes rows for a `COPY … FROM STDIN`; `finish` comes when the server has taken all of them. */
  copyIn(statement: string): Writable;
  /** Ends it at once, with whatever is under way. */
  close(): Promise<void>;
}

export interface DirectSessionOptions {
  /** Of the server itself (`DATABASE_DIRECT_URL`): a pooler keeps no session. */
  readonly connectionString: string;
  readonly applicationName: string;
  /** Told where the connection ends by itself; what is under way fails by its own. */
  readonly onLost?: (error: Error) => void;
}

/** Names of schemas, tables and columns as they may stand in a statement. */
export const quoteName = pg.escapeIdentifier;

const connectTimeoutMs = 10_000;

/** A server may know some of them only from a later version on: `transaction_timeout` came with 17. */
const withoutLimits = `select set_config(name, '0', false) from unnest(array['statement_timeout', 'lock_timeout',
  'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout']) as name
  where current_setting(name, true) is not null`;

export async function openDirectSession(options: DirectSessionOptions): Promise<DirectSession> {
  const client = new pg.Client({
    connectionString: options.connectionString,
    application_name: options.applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
  });
  // Stays for as long as the client: an error without a listener is an uncaught exception.
  client.on('error', (error) => options.onLost?.(error));
  try {
    await client.connect();
    await client.query(withoutLimits);
  } catch (thrown) {
    await client.end().catch(() => undefined);
    throw thrown;
  }

  return {
    async query<Row>(text: string, values?: readonly unknown[]): Promise<QueryResult<Row>> {
      const result = values === undefined ? await client.query(text) : await client.query(text, values as unknown[]);
      const last = Array.isArray(result) ? result.at(-1) : result;
      return { rows: last.rows as Row[], rowCount: last.rowCount ?? 0 };
    },
    async script(text) {
      await client.query(text);
    },
    copyOut: (statement) => client.query(copyTo(statement)),
    copyIn: (statement) => client.query(copyFrom(statement)),
    close: () => client.end(),
  };
}
