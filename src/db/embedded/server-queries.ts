import pg from 'pg';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import { sqlState } from '../errors.ts';

/** What a server said about itself, or why it did not. */
export type ServerAnswer =
  | { readonly kind: 'ready'; readonly dataDirectory: string; readonly version: string }
  /** It is there and refuses for now: starting or recovering (57P03), or full (53300). */
  | { readonly kind: 'busy'; readonly error: unknown }
  /** Nobody listens, or whoever does is not the server we know (wrong password, no such database). */
  | { readonly kind: 'silent' | 'refused'; readonly error: unknown };

const answerLimitMs = 5_000;

/** One connection, one query. */
export async function askServer(connectionString: string): Promise<ServerAnswer> {
  try {
    return await withClient(connectionString, async (client) => {
      const { rows } = await client.query<{ data_directory: string; version: string }>(
        `select current_setting('data_directory') as data_directory, current_setting('server_version') as version`,
      );
      const row = rows[0];
      return { kind: 'ready', dataDirectory: row?.data_directory ?? '', version: row?.version ?? '' };
    });
  } catch (error) {
    const state = sqlState(error);
    // Its messages are untranslated (LC_ALL=C). One that shuts down never comes back, and may wait for clients for ever.
    if (/shutting down/.test(errorMessage(error))) return { kind: 'silent', error };
    if (state === '57P03' || state === '53300') return { kind: 'busy', error };
    return { kind: state === undefined ? 'silent' : 'refused', error };
  }
}

/** Makes the database unless a start before this one did. */
export async function ensureDatabase(connectionString: string, name: string): Promise<void> {
  await withClient(connectionString, async (client) => {
    // Index: pg_database_datname_index.
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
    if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)}`);
  });
}

async function withClient<T>(connectionString: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString,
    connectionTimeoutMillis: answerLimitMs,
    query_timeout: answerLimitMs,
    application_name: 'engramd-supervisor',
  });
  // An error between queries is an event; without a listener it would end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
