import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { describeConfig } from '../../src/config/describe-config.ts';
import { type ConfigInput, loadConfig } from '../../src/config/load-config.ts';
import { metaOf, settingKeys } from '../../src/config/schema.ts';

const directory = mkdtempSync(join(tmpdir(), 'engramd-config-'));
afterAll(() => rmSync(directory, { recursive: true }));

function write(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

function load(input: Partial<ConfigInput> = {}) {
  return loadConfig({ env: {}, cwd: directory, home: '/home/someone', uid: 1000, ...input });
}

describe('where a value comes from', () => {
  const configFile = write('precedence.json', JSON.stringify({ ENGRAMD_HTTP_PORT: 3003, LOG_LEVEL: 'warn' }));

  it('takes the flag over the environment over the file over the default', () => {
    const env = { ENGRAMD_HTTP_PORT: '2002' };
    const read = (input: Partial<ConfigInput>) => {
      const { config, sources } = load(input);
      return [config.httpPort, sources.httpPort];
    };
    expect(read({ flags: { httpPort: '1001' }, env, configFile })).toEqual([1001, 'flag --http-port']);
    expect(read({ env, configFile })).toEqual([2002, 'environment']);
    expect(read({ configFile })).toEqual([3003, `file ${configFile}`]);
    expect(read({})).toEqual([7766, 'default']);
  });

  it('finds the file through ENGRAMD_CONFIG, relative to the working directory', () => {
    expect(load({ env: { ENGRAMD_CONFIG: 'precedence.json' } }).config.logLevel).toBe('warn');
  });

  it('takes an empty variable for an unset one', () => {
    expect(load({ env: { ENGRAMD_HTTP_PORT: '', DATABASE_URL: '' } }).config).toMatchObject({ httpPort: 7766 });
  });

  it.each([
    [{ STATE_DIRECTORY: '/var/lib/a:/var/lib/b', XDG_STATE_HOME: '/x' }, 0, '/var/lib/a'],
    [{}, 0, '/var/lib/engramd'],
    [{ XDG_STATE_HOME: '/x' }, 1000, '/x/engramd'],
    [{}, 1000, '/home/someone/.local/state/engramd'],
  ])('puts the data directory of %j and uid %i at %s', (env, uid, expected) => {
    expect(load({ env, uid }).config.dataDir).toBe(expected);
  });

  it('makes a relative data directory absolute', () => {
    expect(load({ flags: { dataDir: 'state' } }).config.dataDir).toBe(join(directory, 'state'));
  });
});

describe('secrets', () => {
  const secrets = settingKeys.map(metaOf).filter((meta) => meta.secret);
  const url = 'postgres://user:hunter2@db.example/engram';

  it.each(secrets.map((meta) => meta.variable))('reads %s from the file that its _FILE names', (variable) => {
    const urls: Readonly<Record<string, string>> = { DATABASE_URL: url, DATABASE_DIRECT_URL: url };
    const value = urls[variable] ?? (variable.endsWith('_URL') ? 'http://models.example/v1' : 'sesame-open');
    const path = write(`${variable}.secret`, `${value}\n`);
    const key = settingKeys.find((candidate) => metaOf(candidate).variable === variable);
    const { config, sources } = load({ env: { [`${variable}_FILE`]: path } });
    expect(key && config[key]).toBe(value);
    expect(key && sources[key]).toContain(path);
  });

  it('refuses a secret given twice', () => {
    const env = { ENGRAMD_API_TOKEN: 'a', ENGRAMD_API_TOKEN_FILE: write('twice', 'b') };
    expect(() => load({ env })).toThrow('ENGRAMD_API_TOKEN and ENGRAMD_API_TOKEN_FILE are both set (in environment)');
  });

  it('names the variable of a file that is not there', () => {
    expect(() => load({ env: { DATABASE_URL_FILE: join(directory, 'absent') } })).toThrow(
      /^DATABASE_URL_FILE: .*absent/,
    );
  });

  it('shows none of them', () => {
    const env = {
      DATABASE_URL: 'postgres://user:hunter2@db.example/engram?password=hunter3&sslmode=require',
      ENGRAMD_API_TOKEN: 'hunter4',
      ENGRAMD_METRICS_TOKEN: 'hunter5',
      OPENAI_API_KEY: 'hunter6',
      ENGRAMD_EMBEDDING_API_KEY: 'hunter7',
      OPENAI_BASE_URL: 'http://user:hunter8@models.example/v1',
    };
    const printed = JSON.stringify(describeConfig(load({ env })));
    expect(printed).not.toContain('hunter');
    expect(printed).toContain('postgres://user:[redacted]@db.example/engram?password=[redacted]&sslmode=require');
  });

  it('keeps a bad one out of the error', () => {
    const env = { DATABASE_URL: 'mysql://user:hunter2@db/engram', ENGRAMD_API_TOKEN: 'hunter2 hunter2' };
    expect(() => load({ env })).toThrow(/^(?!.*hunter2).*DATABASE_URL: expected postgres.*ENGRAMD_API_TOKEN: expected/);
  });
});

describe('a value that cannot be used', () => {
  it.each([
    ['DATABASE_URL', 'localhost:5432', 'expected postgres://'],
    ['ENGRAMD_DATA_DIR', 'a\0b', 'expected a path'],
    ['ENGRAMD_HTTP_HOST', 'http://localhost', 'expected a host name'],
    ['ENGRAMD_HTTP_PORT', '65536', 'expected a whole number from 0 to 65535'],
    ['ENGRAMD_HTTP_PORT', '0x10', 'expected a whole number from 0 to 65535'],
    ['ENGRAMD_HTTP_PORT', '-1', 'expected a whole number from 0 to 65535'],
    ['ENGRAMD_API_TOKEN', 'two words', 'expected printable ASCII'],
    ['ENGRAMD_METRICS_TOKEN', 'schlüssel', 'expected printable ASCII'],
    ['ENGRAMD_DECIDER', 'llm', 'llm needs OPENAI_API_KEY, or OPENAI_BASE_URL'],
    ['ENGRAMD_DECIDER', 'coin', 'expected `rules` or `llm`'],
    ['ENGRAMD_EMBEDDER', 'coin', 'expected `local` or `openai`'],
    ['OPENAI_BASE_URL', 'localhost:11434', 'expected http://host:port/v1'],
    ['ENGRAMD_EMBEDDING_BASE_URL', 'ftp://x', 'expected http://host:port/v1'],
    ['OPENAI_BASE_URL', 'http://us%er:pw@host/v1', 'expected a user and password in which a % is written %25'],
    [
      'ENGRAMD_EMBEDDING_BASE_URL',
      'http://user:p%w@host/v1',
      'expected a user and password in which a % is written %25',
    ],
    ['OPENAI_BASE_URL', 'https://host/v1?api-version=2024-10-21', 'expected no query string'],
    ['ENGRAMD_EMBEDDING_BASE_URL', 'https://host/v1#x', 'expected no query string'],
    ['ENGRAMD_LLM_MODEL', 'two words', 'expected the name of a model'],
    ['ENGRAMD_LLM_TIMEOUT', '0s', 'expected a duration from 1s to 1h'],
    ['ENGRAMD_LLM_TIMEOUT', '2', 'expected a duration from 1s to 1h'],
    ['ENGRAMD_LLM_CONTEXT_TOKENS', '1000', 'expected a whole number from 2048'],
    ['ENGRAMD_EMBEDDING_DIMENSIONS', '0', 'expected a whole number from 8'],
    ['ENGRAMD_BUDGET_USD_PER_DAY', '0', 'expected an amount of dollars above 0'],
    ['ENGRAMD_BUDGET_USD_PER_DAY', '0.00', 'expected an amount of dollars above 0'],
    ['ENGRAMD_BUDGET_USD_PER_DAY', '-1', 'expected an amount of dollars above 0'],
    ['ENGRAMD_BUDGET_USD_PER_DAY', 'much', 'expected an amount of dollars above 0'],
    ['ENGRAMD_BUDGET_USD_PER_DAY', 'NaN', 'expected an amount of dollars above 0'],
    ['ENGRAMD_BUDGET_USD_PER_DAY', '1e3', 'expected an amount of dollars above 0'],
    ['ENGRAMD_BUDGET_TOKENS_PER_DAY', '0', 'expected a whole number of tokens above 0'],
    ['ENGRAMD_BUDGET_TOKENS_PER_DAY', '1.5', 'expected a whole number of tokens above 0'],
    ['ENGRAMD_APPLY', 'later', 'expected `auto` or `review`'],
    ['DATABASE_DIRECT_URL', 'localhost:5432', 'expected postgres://'],
    ['ENGRAMD_SOCKET', 'a\0b', 'expected a path'],
    ['ENGRAMD_DROWSY_AFTER', '5', 'expected a duration from 1s to 720h, e.g. 90s, 5m or 2h'],
    ['ENGRAMD_DROWSY_AFTER', '999ms', 'expected a duration'],
    ['ENGRAMD_DROWSY_AFTER', '40m', 'has to be shorter than ENGRAMD_SLEEP_AFTER, which is 30m'],
    ['ENGRAMD_SLEEP_AFTER', '-5m', 'expected a duration'],
    ['ENGRAMD_SLEEP_AFTER', '5m', 'has to be longer than ENGRAMD_DROWSY_AFTER, which is 5m'],
    ['ENGRAMD_HIBERNATE_AFTER', '721h', 'expected a duration'],
    ['ENGRAMD_HIBERNATE_AFTER', '10m', 'has to be longer than ENGRAMD_SLEEP_AFTER, which is 30m'],
    ['ENGRAMD_HIBERNATE', 'deeply', 'expected `park`, `exit` or `off`'],
    ['ENGRAMD_QUIET_HOURS', '2-6', 'expected two different local times, e.g. 02:00-06:00'],
    ['ENGRAMD_QUIET_HOURS', '02:00-02:00', 'expected two different local times'],
    ['ENGRAMD_QUIET_HOURS', '24:00-06:00', 'expected two different local times'],
    ['ENGRAMD_QUIET_HOURS', '02:00–06:00', 'expected two different local times'],
    ['ENGRAMD_DB_POOL_MAX', '0', 'expected a whole number from 1 to 1000'],
    ['ENGRAMD_LLM_CONCURRENCY', 'many', 'expected a whole number from 1 to 1000'],
    ['LOG_LEVEL', 'loud', 'expected one of trace, debug'],
  ])('%s=%j is an error that names the variable and the place', (variable, value, expected) => {
    expect(() => load({ env: { [variable]: value } })).toThrow(
      expect.objectContaining({
        code: 'CONFIG',
        exitCode: 2,
        message: expect.stringMatching(new RegExp(`^${variable}: ${expected}.*\\(from environment\\)$`, 's')),
      }),
    );
  });

  it('lists every one of them at once', () => {
    const configFile = write('two.json', JSON.stringify({ ENGRAMD_DB_POOL_MAX: 1.5 }));
    expect(() => load({ env: { LOG_LEVEL: 'loud' }, configFile })).toThrow(
      `ENGRAMD_DB_POOL_MAX: expected a whole number from 1 to 1000 (from file ${configFile}); LOG_LEVEL: expected`,
    );
  });

  it.each([
    ['absent.json', undefined, 'not a readable JSON file'],
    ['broken.json', '{"LOG_LEVEL"', 'not a readable JSON file'],
    ['list.json', '[]', 'should hold one JSON object'],
    ['unknown.json', '{"ENGRAMD_HTPP_PORT": 1}', 'not a setting of this version, did you mean ENGRAMD_HTTP_PORT?'],
  ])('configuration file %s is refused', (name, content, expected) => {
    const configFile = content === undefined ? name : write(name, content);
    expect(() => load({ configFile })).toThrow(expected);
  });
});

describe('listening where others can reach it', () => {
  it.each(['0.0.0.0', '::', '192.168.1.4', 'engramd.internal', '127.example.com'])('%s needs a token', (host) => {
    expect(() => load({ env: { ENGRAMD_HTTP_HOST: host } })).toThrow(/^ENGRAMD_HTTP_HOST: .* needs ENGRAMD_API_TOKEN/);
    expect(load({ env: { ENGRAMD_HTTP_HOST: host, ENGRAMD_API_TOKEN: 'sesame' } }).config.httpHost).toBe(host);
  });

  it.each(['127.0.0.1', '127.8.9.10', '::1', '[::1]', 'localhost'])('%s does not', (host) => {
    expect(load({ env: { ENGRAMD_HTTP_HOST: host } }).config.httpHost).toBe(host);
  });
});

describe('what is said without being an error', () => {
  it('names unknown variables and the one that was meant', () => {
    expect(load({ env: { ENGRAMD_LISTEN: '/x', ENGRAMD_DBPOOL_MAX: '3', OTHER: '1' } }).warnings).toEqual([
      'ENGRAMD_DBPOOL_MAX is not a setting of this version and is ignored, did you mean ENGRAMD_DB_POOL_MAX?',
      'ENGRAMD_LISTEN is not a setting of this version and is ignored',
    ]);
  });
});

describe('what decides', () => {
  it.each([
    [{}, 'rules'],
    [{ OPENAI_API_KEY: 'sk-1' }, 'llm'],
    [{ OPENAI_BASE_URL: 'http://localhost:11434/v1/' }, 'llm'],
    [{ OPENAI_API_KEY: 'sk-1', ENGRAMD_DECIDER: 'rules' }, 'rules'],
    [{ ENGRAMD_EMBEDDING_BASE_URL: 'http://localhost:11434/v1' }, 'rules'],
  ])('with %j it is %s', (env, decider) => {
    expect(load({ env }).config.decider).toBe(decider);
  });

  it('takes a base URL with or without a slash at its end', () => {
    expect(load({ env: { OPENAI_BASE_URL: 'http://localhost:11434/v1/' } }).config.openaiBaseUrl).toBe(
      'http://localhost:11434/v1',
    );
  });

  it('says durations as a person writes them', () => {
    const lines = describeConfig(load({ env: { ENGRAMD_LLM_TIMEOUT: '90s' } }));
    expect(lines.find(({ variable }) => variable === 'ENGRAMD_LLM_TIMEOUT')?.value).toBe('90s');
  });
});

it('has no setting that the README does not tell of, with its flag and its default', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const loaded = load({ env: {} });
  const { config, sources } = loaded;
  const shown = new Map(describeConfig(loaded).map(({ variable, value }) => [variable, value]));
  for (const key of settingKeys) {
    const { variable, flag } = metaOf(key);
    const row = readme.split('\n').find((line) => line.startsWith(`| \`${variable}\` |`));
    expect(row, variable).toBeDefined();
    if (flag !== undefined) expect(row).toContain(`| \`${flag}\` |`);
    if (
      sources[key] === 'default' &&
      typeof config[key] !== 'object' &&
      config[key] !== undefined &&
      key !== 'dataDir' &&
      key !== 'socket' &&
      key !== 'backupDir'
    ) {
      expect(row).toContain(`| \`${shown.get(variable)}\` |`);
    }
  }
});

it('has no setting that nothing reads', async () => {
  const source = new URL('../../src/', import.meta.url);
  const files = (await readdir(source, { recursive: true })).filter(
    (name) => name.endsWith('.ts') && !name.startsWith('config/'),
  );
  const text = files.map((name) => readFileSync(new URL(name, source), 'utf8')).join('\n');
  expect(settingKeys.filter((key) => !new RegExp(`\\bconfig\\.${key}\\b`).test(text))).toEqual([]);
});
