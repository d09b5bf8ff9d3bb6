import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { EngramdError } from '../../src/telemetry/engramd-error.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { type BlankDatabase, createBlankDatabase } from './blank-database.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const migrations = await readMigrations(new URL('../../src/store/migrations', import.meta.url).pathname);
const password = 'S3cret+Pass/word';

let blank: BlankDatabase;
let role: string;
let owner: string;
let folder: string;
let servers: Server[];
beforeEach(async () => {
  servers = [];
  folder = createScratchFolder();
  blank = await createBlankDatabase();
  [role, owner] = ['plain', 'owner'].map((name) => `${name}_${randomUUID().replaceAll('-', '')}`) as [string, string];
  await blank.admin(async (admin) => {
    await admin.query(`create role ${role} login password '${password}'`);
    await admin.query(`create role ${owner}`);
  });
});
afterEach(async () => {
  for (const server of servers) server.close();
  removeScratchFolder(folder);
  await blank.drop();
  await blank.admin(async (admin) => {
    await admin.query(`drop role ${role}`);
    await admin.query(`drop role ${owner}`);
  }, 'server');
});

/** The URL of our plain role, with these parts changed. */
function urlWith(parts: Partial<Pick<URL, 'username' | 'password' | 'host' | 'pathname' | 'search'>> = {}): string {
  const url = new URL(blank.connectionString);
  Object.assign(url, { username: role, password: encodeURIComponent(password), ...parts });
  return url.href;
}

const asSuperuser = (sql: string) => blank.admin((admin) => admin.query(sql));

/** A port of this machine where `greet` answers; without it nobody does. */
async function portOf(greet?: (server: Server) => void): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  if (greet) {
    greet(server);
    servers.push(server);
  } else {
    server.close();
    await once(server, 'close');
  }
  return port;
}

interface Trouble {
  readonly name: string;
  /** Brings the trouble about and returns the URL. */
  readonly make: () => Promise<string> | string;
  readonly code: string;
  readonly exitCode: 1 | 2;
  readonly message: RegExp;
}

const troubles: readonly Trouble[] = [
  {
    name: 'nothing listens',
    make: async () => `postgres://${role}:${encodeURIComponent(password)}@localhost:${await portOf()}/db`,
    code: 'DATABASE_UNREACHABLE',
    exitCode: 1,
    message: /DATABASE_URL does not answer: connect ECONNREFUSED \S+:\d+/,
  },
  {
    name: 'there is no socket',
    make: () => `postgres://${role}:${encodeURIComponent(password)}@${encodeURIComponent(folder)}/db`,
    code: 'DATABASE_UNREACHABLE',
    exitCode: 1,
    message: /DATABASE_URL does not answer: connect ENOENT/,
  },
  {
    name: 'whoever listens hangs up',
    make: async () => {
      const port = await portOf((server) => server.on('connection', (socket) => socket.resume().end()));
      return `postgres://${role}:${encodeURIComponent(password)}@127.0.0.1:${port}/db`;
    },
    code: 'DATABASE_UNREACHABLE',
    exitCode: 1,
    message: /DATABASE_URL does not answer: Connection terminated unexpectedly/,
  },
  {
    name: 'the server has no room',
    make: async () => {
      await asSuperuser(`alter role ${role} connection limit 0`);
      return urlWith();
    },
    code: 'DATABASE_UNREACHABLE',
    exitCode: 1,
    message: /DATABASE_URL does not answer: too many connections/,
  },
  {
    name: 'the password is wrong',
    make: () => urlWith({ password: 'An0ther-Pass' }),
    code: 'DATABASE_REFUSED',
    exitCode: 2,
    message: /DATABASE_URL refused the connection: password authentication failed for user/,
  },
  {
    name: 'the password is missing',
    make: () => urlWith({ password: '' }),
    code: 'DATABASE_REFUSED',
    exitCode: 2,
    message: /DATABASE_URL refused the connection: .*password/,
  },
  {
    name: 'there is no such role',
    make: () => urlWith({ username: 'nobody_by_that_name' }),
    code: 'DATABASE_REFUSED',
    exitCode: 2,
    message: /DATABASE_URL refused the connection: .*nobody_by_that_name/,
  },
  {
    name: 'the role may not log in',
    make: async () => {
      await asSuperuser(`alter role ${role} nologin`);
      return urlWith();
    },
    code: 'DATABASE_REFUSED',
    exitCode: 2,
    message: /DATABASE_URL refused the connection: .*not permitted to log in/,
  },
  {
    name: 'there is no such database',
    make: () => urlWith({ pathname: '/nowhere' }),
    code: 'DATABASE_REFUSED',
    exitCode: 2,
    message: /DATABASE_URL refused the connection: database "nowhere" does not exist/,
  },
  {
    name: 'it does not speak TLS, or with a certificate that nobody vouches for',
    make: () => urlWith({ search: '?sslmode=verify-full' }),
    code: 'DATABASE_REFUSED',
    exitCode: 2,
    message: /DATABASE_URL refused the connection: .*(SSL|certificate)/,
  },
  {
    name: 'the role is read-only',
    make: async () => {
      await asSuperuser(`alter role ${role} set default_transaction_read_only = on`);
      return urlWith();
    },
    code: 'DATABASE_READ_ONLY',
    exitCode: 2,
    message: /DATABASE_URL points to a read-only database/,
  },
  {
    name: 'the database is read-only',
    make: async () => {
      await asSuperuser(`alter database ${blank.name} set default_transaction_read_only = on`);
      return blank.connectionString;
    },
    code: 'DATABASE_READ_ONLY',
    exitCode: 2,
    message: /DATABASE_URL points to a read-only database/,
  },
  {
    name: 'the role may not connect',
    make: async () => {
      await asSuperuser(`revoke connect on database ${blank.name} from public`);
      return urlWith();
    },
    code: 'DATABASE_PRIVILEGE',
    exitCode: 2,
    message: /role of DATABASE_URL lacks a right: permission denied for database .*CONNECT/,
  },
  {
    name: 'the role may not create',
    make: () => urlWith(),
    code: 'DATABASE_PRIVILEGE',
    exitCode: 2,
    message:
      /role of DATABASE_URL lacks a right: permission denied for database .*GRANT CREATE ON DATABASE blank_\w+ TO plain_\w+$/,
  },
  {
    name: 'the schema is another’s',
    make: async () => {
      await asSuperuser(`create schema engram authorization ${owner}`);
      return urlWith();
    },
    code: 'DATABASE_PRIVILEGE',
    exitCode: 2,
    message:
      /role of DATABASE_URL lacks a right: permission denied for schema engram. .*belongs to owner_\w+: GRANT owner_\w+ TO plain_\w+$/,
  },
  {
    name: 'a newer engramd was there',
    make: async () => {
      await migrate(blank.open(), migrations);
      await asSuperuser("insert into engram.migrations values (99, '0099-later.sql', '')");
      return blank.connectionString;
    },
    code: 'DATABASE_NEWER',
    exitCode: 2,
    message: /DATABASE_URL is at schema version 99, this engramd knows \d+.*upgrade/,
  },
  {
    name: 'it was migrated from other files',
    make: async () => {
      await migrate(blank.open(), migrations);
      await asSuperuser("update engram.migrations set checksum = '' where version = 1");
      return blank.connectionString;
    },
    code: 'MIGRATION_CHANGED',
    exitCode: 2,
    message: /0001-\S+\.sql was applied to the database of DATABASE_URL from another text/,
  },
];

interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function engramd(args: readonly string[], databaseUrl: string): Promise<Ended> {
  const env = { PATH: process.env.PATH, HOME: folder, ENGRAMD_DATA_DIR: folder, DATABASE_URL: databaseUrl };
  const child = spawn(process.execPath, [main, ...args], { env, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr, [exitCode]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { exitCode: exitCode as number | null, stdout, stderr };
}

function expectNoPassword(said: string): void {
  for (const secret of [password, encodeURIComponent(password), 'An0ther-Pass']) expect(said).not.toContain(secret);
}

test.each(troubles)('where $name, migrate throws it in one line', async ({ make, code, exitCode, message }) => {
  const failure: unknown = await migrate(blank.open(await make()), migrations).then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  );
  expect(failure).toBeInstanceOf(EngramdError);
  expect(failure).toMatchObject({ code, exitCode, retryable: code === 'DATABASE_UNREACHABLE' });
  expect((failure as EngramdError).message).toMatch(message);
  expect((failure as EngramdError).message).not.toContain('\n');
  expectNoPassword((failure as EngramdError).message);
});

const oneOfEach = [...Map.groupBy(troubles, ({ code }) => code).values()].flatMap((alike) => alike.slice(0, 1));

test.each(oneOfEach)('where $name, `migrate --json` says so and exits', async ({ make, code, exitCode, message }) => {
  const ended = await engramd(['migrate', '--json'], await make());
  expect(JSON.parse(ended.stdout)).toEqual({ error: { code, message: expect.stringMatching(message) } });
  expect(ended.stderr).toMatch(/^engramd: .*DATABASE_URL.*\n$/);
  expect(ended.exitCode).toBe(exitCode);
  expectNoPassword(ended.stdout + ended.stderr);
});

describe('other commands say it alike', () => {
  test.each([
    ['banks', 'list'],
    ['remember', 'The kettle is in the shed'],
  ])('%s %s', async (...args) => {
    const ended = await engramd(args, urlWith());
    expect(ended).toEqual({
      exitCode: 2,
      stdout: '',
      stderr: expect.stringMatching(
        /^engramd: the role of DATABASE_URL lacks a right: .*GRANT CREATE ON DATABASE.*\n$/,
      ),
    });
  });
});

describe('the advice', () => {
  const advised = async () => {
    const failure: unknown = await migrate(blank.open(urlWith()), migrations).catch((thrown: unknown) => thrown);
    return /GRANT .*$/.exec((failure as Error).message)?.[0] ?? '';
  };

  test('for a role that may not create is all it takes', async () => {
    await asSuperuser(await advised());
    expect(await migrate(blank.open(urlWith()), migrations)).toMatchObject({ version: migrations.length });
  });

  test('for a schema of somebody else is all it takes', async () => {
    await asSuperuser(`create schema engram authorization ${owner}`);
    await asSuperuser(await advised());
    expect(await migrate(blank.open(urlWith()), migrations)).toMatchObject({ version: migrations.length });
  });
});

test.each([
  ['no URL at all', `user:${password}@host/db`],
  ['a URL of something else', `mysql://user:${encodeURIComponent(password)}@host/db`],
  ['a password that cuts the URL short', `postgres://user:${password}@host/db`],
])('%s is a bad setting, and is not repeated', async (_, url) => {
  const ended = await engramd(['migrate', '--json'], url);
  expect(ended).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/^engramd: DATABASE_URL: expected postgres:.*\n$/),
  });
  expect(JSON.parse(ended.stdout)).toMatchObject({ error: { code: 'CONFIG' } });
  expectNoPassword(ended.stdout + ended.stderr);
});
