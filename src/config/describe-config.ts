import type { LoadedConfig } from './load-config.ts';
import { type Config, metaOf, type SettingKey, settingKeys } from './schema.ts';

export interface SettingLine {
  readonly variable: string;
  /** Null: unset. Secrets are `[redacted]`, URLs lose their password. */
  readonly value: string | number | null;
  readonly source: string;
  readonly about: string;
}

/** The effective settings, safe to print anywhere. */
export function describeConfig(loaded: LoadedConfig): SettingLine[] {
  return settingKeys.map((key) => {
    const { variable, about } = metaOf(key);
    return { variable, value: shown(key, loaded.config[key]), source: loaded.sources[key], about };
  });
}

function shown(key: SettingKey, value: Config[SettingKey]): string | number | null {
  if (value === undefined) return null;
  if (typeof value === 'object') return value.length === 0 ? null : value.join(',');
  const { secret } = metaOf(key);
  if (key === 'llmTimeoutMs') return formatDuration(Number(value));
  if (secret === 'value') return '[redacted]';
  return secret === 'url' ? withoutPassword(String(value)) : value;
}

/** In the largest unit that leaves no rest: 90s, 2m. */
function formatDuration(ms: number): string {
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  if (ms % 60_000 === 0) return `${ms / 60_000}m`;
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

/** A connection string as it may be shown: libpq takes the password in front of the @ and as a parameter. */
function withoutPassword(connectionString: string): string {
  if (!URL.canParse(connectionString)) return '[redacted]';
  const url = new URL(connectionString);
  if (url.password) url.password = '[redacted]';
  for (const parameter of ['password', 'sslpassword']) {
    if (url.searchParams.has(parameter)) url.searchParams.set(parameter, '[redacted]');
  }
  return url.href.replaceAll('%5Bredacted%5D', '[redacted]');
}
