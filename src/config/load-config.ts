import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { z } from 'zod';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { closestName } from './closest-name.ts';
import { ConfigError } from './config-error.ts';
import { formatDuration } from './format-duration.ts';
import { isLoopback } from './loopback.ts';
import { type Config, configSchema, metaOf, type SettingKey, settingKeys } from './schema.ts';

export interface LoadedConfig {
  readonly config: Config;
  /** Where each value came from, in words: `flag --http-port`, `environment`, `file /etc/engramd.json`, `default`. */
  readonly sources: Readonly<Record<SettingKey, string>>;
  /** One sentence each; said once by whoever loads. */
  readonly warnings: readonly string[];
}

export interface ConfigInput {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Values of command-line flags; absent ones are undefined. */
  readonly flags?: Readonly<Partial<Record<SettingKey, string | undefined>>>;
  /** `--config`; else ENGRAMD_CONFIG; else none. */
  readonly configFile?: string | undefined;
  readonly cwd?: string;
  readonly home?: string;
  readonly uid?: number | undefined;
  /** For settings of another process, which has its token from elsewhere and refuses to start without. */
  readonly hasTokenElsewhere?: boolean;
}

/** One place that values come from, under the names of the variables. */
interface Layer {
  readonly name: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** What a relative `*_FILE` is relative to. */
  readonly directory: string;
}

interface Found {
  readonly value: unknown;
  readonly source: string;
}

/**
 * Flag, then environment, then configuration file, then default. Reads files and nothing else.
 *
 * @throws ConfigError listing every bad value with its variable and where it came from.
 */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const cwd = input.cwd ?? process.cwd();
  const problems: string[] = [];
  const warnings: string[] = [];

  const environment: Layer = { name: 'environment', values: input.env, directory: cwd };
  const layers = [environment, ...configFileLayer(input, cwd, problems)];

  const values: Partial<Record<SettingKey, unknown>> = {};
  const sources: Partial<Record<SettingKey, string>> = {};
  for (const key of settingKeys) {
    const { variable, secret } = metaOf(key);
    const found = fromFlag(key, input) ?? fromLayers(key, layers, problems) ?? defaultOf(key, input);
    const parsed = configSchema.shape[key].safeParse(found?.value);
    sources[key] = found?.source ?? 'default';
    if (parsed.success) {
      values[key] = parsed.data;
      continue;
    }
    const got = secret || typeof found?.value !== 'string' ? '' : `, got ${JSON.stringify(found.value)}`;
    problems.push(`${variable}: ${parsed.error.issues[0]?.message ?? 'not usable'}${got} (from ${sources[key]})`);
  }
  if (problems.length > 0) throw new ConfigError(problems.join('; '));

  // Each value has passed its own schema; to parse the whole would transform them twice.
  const parsed = values as z.output<typeof configSchema>;
  const hasEndpoint = parsed.openaiApiKey !== undefined || parsed.openaiBaseUrl !== undefined;
  const config: Config = {
    ...parsed,
    dataDir: resolve(cwd, parsed.dataDir),
    socket:
      parsed.socket === undefined ? join(resolve(cwd, parsed.dataDir), 'engramd.sock') : resolve(cwd, parsed.socket),
    backupDir:
      parsed.backupDir === undefined ? join(resolve(cwd, parsed.dataDir), 'backups') : resolve(cwd, parsed.backupDir),
    decider: parsed.decider ?? (hasEndpoint ? 'llm' : 'rules'),
    ...(parsed.pricesFile !== undefined && { pricesFile: resolve(cwd, parsed.pricesFile) }),
  };
  if (config.decider === 'llm' && !hasEndpoint) {
    throw new ConfigError(
      `ENGRAMD_DECIDER: llm needs OPENAI_API_KEY, or OPENAI_BASE_URL where the endpoint asks for no key (from ${sources.decider})`,
    );
  }
  assertRising(config, sources as Record<SettingKey, string>);
  if (!isLoopback(config.httpHost) && config.apiToken === undefined && input.hasTokenElsewhere !== true) {
    throw new ConfigError(
      `ENGRAMD_HTTP_HOST: ${config.httpHost} can be reached from other machines, which needs ENGRAMD_API_TOKEN (from ${sources.httpHost})`,
    );
  }
  warnings.push(...unknownVariables(input.env));
  return { config, sources: sources as Record<SettingKey, string>, warnings };
}

const rising = ['drowsyAfterMs', 'sleepAfterMs', 'hibernateAfterMs'] as const;

/** A daemon that hibernates before it sleeps would never run its sleep cycle. Names the one that somebody has set. */
function assertRising(config: Config, sources: Readonly<Record<SettingKey, string>>): void {
  for (const [at, shorter] of rising.entries()) {
    const longer = rising[at + 1];
    if (longer === undefined || config[shorter] < config[longer]) continue;
    const [blamed, how, other] =
      sources[longer] === 'default' ? [shorter, 'shorter', longer] : [longer, 'longer', shorter];
    throw new ConfigError(
      `${metaOf(blamed).variable}: has to be ${how} than ${metaOf(other).variable}, which is ${formatDuration(config[other])} (from ${sources[blamed]})`,
    );
  }
}

/** An empty variable is an unset one: that is what `VARIABLE=${UNSET}` in a compose file or unit makes. */
function present(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
}

function fromFlag(key: SettingKey, input: ConfigInput): Found | undefined {
  const value = input.flags?.[key];
  return value === undefined ? undefined : { value, source: `flag ${metaOf(key).flag ?? key}` };
}

function fromLayers(key: SettingKey, layers: readonly Layer[], problems: string[]): Found | undefined {
  const { variable, secret } = metaOf(key);
  const fileVariable = `${variable}_FILE`;
  for (const layer of layers) {
    const value = layer.values[variable];
    const path = secret ? layer.values[fileVariable] : undefined;
    if (present(value) && present(path)) {
      problems.push(`${variable} and ${fileVariable} are both set (in ${layer.name}): keep one`);
      return undefined;
    }
    if (present(value)) return { value, source: layer.name };
    if (!present(path)) continue;
    const file = resolve(layer.directory, String(path));
    try {
      return { value: readFileSync(file, 'utf8').trim(), source: `file ${file}, named by ${fileVariable}` };
    } catch (thrown) {
      problems.push(`${fileVariable}: cannot be read: ${errorMessage(thrown)} (from ${layer.name})`);
      return undefined;
    }
  }
  return undefined;
}

function defaultOf(key: SettingKey, input: ConfigInput): Found | undefined {
  return key === 'dataDir' ? { value: defaultDataDir(input), source: 'default' } : undefined;
}

function defaultDataDir({ env, home, uid = process.getuid?.() }: ConfigInput): string {
  // systemd lists several directories with colons; the first is the main one.
  const [stateDirectory] = (env.STATE_DIRECTORY ?? '').split(':');
  if (stateDirectory) return stateDirectory;
  if (uid === 0) return '/var/lib/engramd';
  if (env.XDG_STATE_HOME) return resolve(env.XDG_STATE_HOME, 'engramd');
  return resolve(home ?? homedir(), '.local/state/engramd');
}

function configFileLayer(input: ConfigInput, cwd: string, problems: string[]): Layer[] {
  const fromFlagOrEnv = input.configFile ?? input.env.ENGRAMD_CONFIG;
  if (!fromFlagOrEnv) return [];
  const saidBy = input.configFile ? 'flag --config' : 'ENGRAMD_CONFIG';
  const path = resolve(cwd, fromFlagOrEnv);
  let values: unknown;
  try {
    values = JSON.parse(readFileSync(path, 'utf8'));
  } catch (thrown) {
    throw new ConfigError(`${saidBy}: ${path} is not a readable JSON file: ${errorMessage(thrown)}`, { cause: thrown });
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new ConfigError(`${saidBy}: ${path} should hold one JSON object with variables as keys`);
  }
  const known = knownVariables();
  for (const name of Object.keys(values)) {
    if (!known.has(name))
      problems.push(`${name}: not a setting of this version${suggestion(name, known)} (from file ${path})`);
  }
  return [{ name: `file ${path}`, values: { ...values }, directory: dirname(path) }];
}

function knownVariables(): Set<string> {
  const names = settingKeys.flatMap((key) => {
    const { variable, secret } = metaOf(key);
    return secret ? [variable, `${variable}_FILE`] : [variable];
  });
  return new Set(names);
}

function suggestion(name: string, known: ReadonlySet<string>): string {
  const closest = closestName(name, known);
  return closest ? `, did you mean ${closest}?` : '';
}

function unknownVariables(env: ConfigInput['env']): string[] {
  const known = knownVariables();
  known.add('ENGRAMD_CONFIG');
  return Object.keys(env)
    .filter((name) => name.startsWith('ENGRAMD_') && !known.has(name))
    .sort()
    .map((name) => `${name} is not a setting of this version and is ignored${suggestion(name, known)}`);
}
