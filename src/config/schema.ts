import { z } from 'zod';

/** What the settings table, `config print` and the error messages know about a setting beside its type. */
export interface SettingMeta {
  /** Its one name: environment variable, key of the configuration file, and what errors call it. */
  readonly variable: string;
  /** `value`: never shown. `url`: shown without its password. Both can be read from the file that `<variable>_FILE` names. */
  readonly secret?: 'value' | 'url';
  /** Command-line flag, for settings that a person changes from one call to the next. Secrets have none: `ps` shows them. */
  readonly flag?: string;
  readonly about: string;
}

const settingMeta = z.registry<SettingMeta>();

function setting<T extends z.ZodType>(schema: T, meta: SettingMeta): T {
  // A clone for each setting: the registry is keyed by instance, and a shared schema would share its name.
  const own = schema.clone() as T;
  settingMeta.add(own, meta);
  return own;
}

/** Variables are text, a JSON file may hold the number itself. `Number()` alone would take '' for 0 and '0x10' for 16. */
function wholeNumber(min: number, max: number) {
  const expected = `expected a whole number from ${min} to ${max}`;
  return z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\d{1,9}$/, expected)
          .transform(Number),
      ],
      { error: expected },
    )
    .pipe(z.number().int(expected).min(min, expected).max(max, expected));
}

function isDatabaseUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//.test(text) && URL.canParse(text);
}

/** What a header can carry and a shell does not mangle. */
const token = z.string().regex(/^[\x21-\x7e]+$/, 'expected printable ASCII without spaces');

const expectedNames = 'expected host names without ports, with commas between them';

const hostNames = z
  .string(expectedNames)
  .default('')
  .transform((text) => text.split(/[\s,]+/).filter((name) => name !== ''))
  .refine((names) => names.every((name) => /^[A-Za-z0-9._-]+$/.test(name)), expectedNames);

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/**
 * Everything a person can configure, each read by something that exists. Order is the order of `config print` and of
 * the README.
 */
export const configSchema = z.strictObject({
  databaseUrl: setting(
    z.string().refine(isDatabaseUrl, 'expected postgres://user:password@host:port/database').optional(),
    {
      variable: 'DATABASE_URL',
      secret: 'url',
      about: 'PostgreSQL 15 or newer. Unset: an embedded PostgreSQL 18 under the data directory.',
    },
  ),
  dataDir: setting(z.string().regex(/^[^\0]+$/, 'expected a path'), {
    variable: 'ENGRAMD_DATA_DIR',
    flag: '--data-dir',
    about: 'Where the embedded database, its password and daemon.json live.',
  }),
  httpHost: setting(
    z
      .string()
      .regex(/^[A-Za-z0-9.:[\]_-]+$/, 'expected a host name or an address')
      .default('127.0.0.1'),
    {
      variable: 'ENGRAMD_HTTP_HOST',
      flag: '--http-host',
      about: 'Address to listen on. One that others can reach needs ENGRAMD_API_TOKEN.',
    },
  ),
  httpPort: setting(wholeNumber(0, 65_535).default(7766), {
    variable: 'ENGRAMD_HTTP_PORT',
    flag: '--http-port',
    about: 'Port to listen on; 0 takes any free one.',
  }),
  allowedHosts: setting(hostNames, {
    variable: 'ENGRAMD_HTTP_ALLOWED_HOSTS',
    about: 'Further names, with commas, that a request may name as its Host: those of a proxy or a service.',
  }),
  apiToken: setting(token.optional(), {
    variable: 'ENGRAMD_API_TOKEN',
    secret: 'value',
    about: 'Bearer token that /v1 asks for. Unset: no token, loopback only.',
  }),
  metricsToken: setting(token.optional(), {
    variable: 'ENGRAMD_METRICS_TOKEN',
    secret: 'value',
    about: 'Bearer token that /metrics asks for. Unset: open.',
  }),
  decider: setting(
    z
      .enum(['rules'], {
        error: ({ input }) =>
          input === 'llm'
            ? 'a language model as decider comes with a later version; `rules` is what there is now'
            : 'expected `rules`',
      })
      .default('rules'),
    { variable: 'ENGRAMD_DECIDER', about: 'What decides how memories become observations. `rules` needs no model.' },
  ),
  embedder: setting(
    z
      .enum(['local'], {
        error: ({ input }) =>
          input === 'openai'
            ? 'embeddings over HTTP come with a later version; `local` is what there is now'
            : 'expected `local`',
      })
      .default('local'),
    { variable: 'ENGRAMD_EMBEDDER', about: 'What makes vectors. `local` runs in the process and downloads nothing.' },
  ),
  dbPoolMax: setting(wholeNumber(1, 1000).default(10), {
    variable: 'ENGRAMD_DB_POOL_MAX',
    about: 'Most database connections. Two are enough: none is held while a model works.',
  }),
  llmConcurrency: setting(wholeNumber(1, 1000).default(16), {
    variable: 'ENGRAMD_LLM_CONCURRENCY',
    about: 'Consolidation batches in flight at once.',
  }),
  logLevel: setting(z.enum(logLevels, { error: `expected one of ${logLevels.join(', ')}` }).default('info'), {
    variable: 'LOG_LEVEL',
    flag: '--log-level',
    about: 'Least important log line written. `debug` adds stacks to errors.',
  }),
});

export type Config = z.output<typeof configSchema>;
export type SettingKey = keyof Config;

export const settingKeys = Object.keys(configSchema.shape) as SettingKey[];

export function metaOf(key: SettingKey): SettingMeta {
  const meta = settingMeta.get(configSchema.shape[key]);
  if (!meta) throw new Error(`setting ${key} is not described`);
  return meta;
}
