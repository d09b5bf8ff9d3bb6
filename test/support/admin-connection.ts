import pg from 'pg';

export interface AdminConnection {
  query(text: string, values?: unknown[]): Promise<pg.QueryResult>;
  escapeIdentifier(name: string): string;
  /** The URL of another database of the same server. */
  urlOf(database: string): string;
}

/** One connection to the test server as superuser, for as long as `work` takes. */
export async function withAdmin<T>(adminUrl: string, work: (admin: AdminConnection) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: adminUrl, application_name: 'engramd-test-admin' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work({
      query: (text, values) => client.query(text, values),
      escapeIdentifier: (name) => client.escapeIdentifier(name),
      urlOf: (database) => databaseUrl(adminUrl, database),
    });
  } finally {
    await client.end();
  }
}

function databaseUrl(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}
