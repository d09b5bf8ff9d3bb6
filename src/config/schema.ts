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

/** Money and amounts: more than nothing, since a budget of 0 is a daemon that never does its work and never says why. */
function positiveNumber(expected: string) {
  return z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^(?:\d+\.?\d*|\.\d+)$/, expected)
          .transform(Number),
      ],
      { error: expected },
    )
    .pipe(z.number(expected).positive(expected).max(1_000_000_000, expected));
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** `90s`, `5m`, `2h`. */
function duration(minMs: number, maxMs: number, expected: string) {
  return z
    .string(expected)
    .regex(/^\d{1,9}(?:ms|s|m|h)$/, expected)
    .transform((text) => {
      const [, count = '', unit = 's'] = /^(\d+)(ms|s|m|h)$/.exec(text) ?? [];
      return Number(count) * unitMs[unit as keyof typeof unitMs];
    })
    .pipe(z.number().min(minMs, expected).max(maxMs, expected));
}

/** A second at least: below that a daemon would fall asleep between two requests of one client. */
const lifeDuration = duration(1000, 30 * 24 * 3_600_000, 'expected a duration from 1s to 720h, e.g. 90s, 5m or 2h');

const expectedQuietHours = 'expected two different local times, e.g. 02:00-06:00';

/** Minutes since local midnight; `to` may lie before `from`, past midnight then. */
const quietHours = z
  .string(expectedQuietHours)
  .regex(/^(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d$/, expectedQuietHours)
  .transform((text) => {
    const [from = 0, to = 0] = text.split('-').map((time) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3)));
    return { fromMinute: from, toMinute: to };
  })
  .refine(({ fromMinute, toMinute }) => fromMinute !== toMinute, expectedQuietHours);

const expectedLocalTime = 'expected a local time, e.g. 03:00';

/** Minutes since local midnight. */
const localTime = z
  .string(expectedLocalTime)
  .regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, expectedLocalTime)
  .transform((text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3)));

function isHttpUrl(text: string): boolean {
  return /^https?:\/\//.test(text) && URL.canParse(text);
}

/** Both are sent as basic authentication, decoded; what cannot be would fail each single call. */
function hasReadableCredentials(text: string): boolean {
  const { username, password } = new URL(text);
  try {
    decodeURIComponent(username);
    decodeURIComponent(password);
    return true;
  } catch {
    return false;
  }
}

const expectedBaseUrl = 'expected http://host:port/v1 or https://…';
const baseUrl = z
  .string(expectedBaseUrl)
  .refine(isHttpUrl, { error: expectedBaseUrl, abort: true })
  // Paths are appended to it, and nothing else of it is sent.
  .refine((text) => !/[?#]/.test(text), 'expected no query string (`?…`) and no `#`: they would not be sent')
  .refine(hasReadableCredentials, 'expected a user and password in which a % is written %25')
  .transform((text) => text.replace(/\/+$/, ''));

const modelName = z.string().regex(/^[\x21-\x7e]{1,200}$/, 'expected the name of a model');

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
  databaseDirectUrl: setting(
    z.string().refine(isDatabaseUrl, 'expected postgres://user:password@host:port/database').optional(),
    {
      variable: 'DATABASE_DIRECT_URL',
      secret: 'url',
      about:
        'The same database past a transaction-mode pooler, for the connection that listens, backups and restores. Unset: DATABASE_URL.',
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
  openaiApiKey: setting(token.optional(), {
    variable: 'OPENAI_API_KEY',
    secret: 'value',
    about: 'Key of the language model endpoint, and of embeddings unless they have their own.',
  }),
  openaiBaseUrl: setting(baseUrl.optional(), {
    variable: 'OPENAI_BASE_URL',
    secret: 'url',
    about: 'Any OpenAI-compatible endpoint (Ollama, vLLM, llama.cpp, …). Unset: https://api.openai.com/v1.',
  }),
  decider: setting(z.enum(['rules', 'llm'], { error: 'expected `rules` or `llm`' }).optional(), {
    variable: 'ENGRAMD_DECIDER',
    about:
      'What decides how memories become observations: `llm`, or `rules`, which needs no model. Unset: `llm` where a key or base URL is set, else `rules`.',
  }),
  llmModel: setting(modelName.default('gpt-5-mini'), {
    variable: 'ENGRAMD_LLM_MODEL',
    about: 'Language model for everything that has none of its own.',
  }),
  llmModelConsolidate: setting(modelName.optional(), {
    variable: 'ENGRAMD_LLM_MODEL_CONSOLIDATE',
    about: 'Language model that turns batches of memories into operations.',
  }),
  llmModelAdjudicate: setting(modelName.optional(), {
    variable: 'ENGRAMD_LLM_MODEL_ADJUDICATE',
    about: 'Language model that judges pairs of texts. A smaller one often does.',
  }),
  llmModelSignificance: setting(modelName.optional(), {
    variable: 'ENGRAMD_LLM_MODEL_SIGNIFICANCE',
    about: 'Language model that scores how much a memory matters. A small one does.',
  }),
  llmContextTokens: setting(wholeNumber(2048, 10_000_000).optional(), {
    variable: 'ENGRAMD_LLM_CONTEXT_TOKENS',
    about: 'Context window of the model, prompt and answer together. Unset: what is known of the model, else 8192.',
  }),
  llmTimeoutMs: setting(duration(1000, 3_600_000, 'expected a duration from 1s to 1h, e.g. 2m').default(120_000), {
    variable: 'ENGRAMD_LLM_TIMEOUT',
    about: 'Longest wait for an answer about a batch; half of it for a pair.',
  }),
  embedder: setting(z.enum(['local', 'openai'], { error: 'expected `local` or `openai`' }).optional(), {
    variable: 'ENGRAMD_EMBEDDER',
    about:
      'What makes vectors: `local` runs in the process and downloads nothing, `openai` asks an endpoint. Unset: what the database has; at first use `openai` where a key or base URL is set, else `local`.',
  }),
  embeddingModel: setting(modelName.optional(), {
    variable: 'ENGRAMD_EMBEDDING_MODEL',
    about: 'Embedding model of the endpoint. Unset: what the database has; at first use text-embedding-3-small.',
  }),
  embeddingBaseUrl: setting(baseUrl.optional(), {
    variable: 'ENGRAMD_EMBEDDING_BASE_URL',
    secret: 'url',
    about: 'Endpoint of the embeddings. Unset: OPENAI_BASE_URL.',
  }),
  embeddingApiKey: setting(token.optional(), {
    variable: 'ENGRAMD_EMBEDDING_API_KEY',
    secret: 'value',
    about: 'Key of the embeddings endpoint. Unset: OPENAI_API_KEY.',
  }),
  embeddingDimensions: setting(wholeNumber(8, 16_000).optional(), {
    variable: 'ENGRAMD_EMBEDDING_DIMENSIONS',
    about: 'Asks the embedding model for shorter vectors, where it can make them. Unset: its own length.',
  }),
  budgetUsdPerDay: setting(positiveNumber('expected an amount of dollars above 0, e.g. 1.50').default(1), {
    variable: 'ENGRAMD_BUDGET_USD_PER_DAY',
    about: 'Most that models may cost from local midnight to midnight. Nothing is sent beyond it.',
  }),
  budgetTokensPerDay: setting(
    positiveNumber('expected a whole number of tokens above 0')
      .pipe(z.number().int('expected a whole number of tokens above 0'))
      .optional(),
    {
      variable: 'ENGRAMD_BUDGET_TOKENS_PER_DAY',
      about: 'Most tokens a day, whatever they cost. Unset: 2,000,000 for models whose price is unknown.',
    },
  ),
  pricesFile: setting(
    z
      .string()
      .regex(/^[^\0]+$/, 'expected a path')
      .optional(),
    {
      variable: 'ENGRAMD_PRICES_FILE',
      about: 'JSON file with prices of further models in dollars per million tokens; stands above the built-in table.',
    },
  ),
  apply: setting(z.enum(['auto', 'review'], { error: 'expected `auto` or `review`' }).default('auto'), {
    variable: 'ENGRAMD_APPLY',
    about: '`review`: what is decided waits until `engramd changes approve`.',
  }),
  dbPoolMax: setting(wholeNumber(1, 1000).default(10), {
    variable: 'ENGRAMD_DB_POOL_MAX',
    about: 'Most database connections. Two are enough: none is held while a model works.',
  }),
  llmConcurrency: setting(wholeNumber(1, 1000).default(16), {
    variable: 'ENGRAMD_LLM_CONCURRENCY',
    about: 'Calls of the language model in flight at once.',
  }),
  socket: setting(
    z
      .string()
      .regex(/^[^\0]+$/, 'expected a path')
      .optional(),
    {
      variable: 'ENGRAMD_SOCKET',
      about: 'Control socket. Unset: engramd.sock in the data directory.',
    },
  ),
  drowsyAfterMs: setting(lifeDuration.default(300_000), {
    variable: 'ENGRAMD_DROWSY_AFTER',
    about: 'Without a request for this long the daemon is drowsy.',
  }),
  sleepAfterMs: setting(lifeDuration.default(1_800_000), {
    variable: 'ENGRAMD_SLEEP_AFTER',
    about: 'Without a request for this long, and with no work to do, it sleeps and runs its sleep cycle.',
  }),
  hibernateAfterMs: setting(lifeDuration.default(7_200_000), {
    variable: 'ENGRAMD_HIBERNATE_AFTER',
    about: 'Without a request for this long it lets go of everything but its sockets and one connection.',
  }),
  hibernate: setting(z.enum(['park', 'exit', 'off'], { error: 'expected `park`, `exit` or `off`' }).default('park'), {
    variable: 'ENGRAMD_HIBERNATE',
    about:
      '`park` stays and listens; `exit` ends the process, for a systemd that holds its sockets and starts it on demand (elsewhere it parks); `off` never hibernates.',
  }),
  quietHours: setting(quietHours.optional(), {
    variable: 'ENGRAMD_QUIET_HOURS',
    about: 'Local hours, e.g. 02:00-06:00, in which sleep need not wait for ENGRAMD_SLEEP_AFTER.',
  }),
  pinCap: setting(wholeNumber(1, 1000).default(8), {
    variable: 'ENGRAMD_PIN_CAP',
    about: 'Pinned memories a bank keeps by itself: beyond it the oldest automatic pin goes. Pins by hand stay.',
  }),
  backupDir: setting(
    z
      .string()
      .regex(/^[^\0]+$/, 'expected a path')
      .optional(),
    {
      variable: 'ENGRAMD_BACKUP_DIR',
      flag: '--backup-dir',
      about: 'Where backups of this host live; another disk is better. Unset: backups in the data directory.',
    },
  ),
  backupAtMinute: setting(localTime.default(180), {
    variable: 'ENGRAMD_BACKUP_AT',
    about:
      'Local time of the nightly backup, e.g. 03:00. Missed while the machine was off, it is taken after the start.',
  }),
  backupKeep: setting(wholeNumber(1, 10_000).default(14), {
    variable: 'ENGRAMD_BACKUP_KEEP',
    about: 'Verified backups kept on this host. None goes before a newer one has been restored and compared.',
  }),
  snapshotKeep: setting(wholeNumber(1, 1000).default(5), {
    variable: 'ENGRAMD_SNAPSHOT_KEEP',
    about: 'Snapshots kept of each bank.',
  }),
  logLevel: setting(z.enum(logLevels, { error: `expected one of ${logLevels.join(', ')}` }).default('info'), {
    variable: 'LOG_LEVEL',
    flag: '--log-level',
    about: 'Least important log line written. `debug` adds stacks to errors.',
  }),
});

/** As loaded: what the settings leave open is worked out by `loadConfig`. */
export type Config = Omit<z.output<typeof configSchema>, 'decider' | 'socket' | 'backupDir'> & {
  readonly decider: 'rules' | 'llm';
  readonly socket: string;
  readonly backupDir: string;
};
export type SettingKey = keyof Config;

export const settingKeys = Object.keys(configSchema.shape) as SettingKey[];

export function metaOf(key: SettingKey): SettingMeta {
  const meta = settingMeta.get(configSchema.shape[key]);
  if (!meta) throw new Error(`setting ${key} is not described`);
  return meta;
}
