import { formatDuration } from './format-duration.ts';
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
  if (typeof value === 'object') {
    if ('fromMinute' in value) return `${timeOfDay(value.fromMinute)}-${timeOfDay(value.toMinute)}`;
    return value.length === 0 ? null : value.join(',');
  }
  const { secret } = metaOf(key);
  // Settings that end so are written as times of day, or as durations.
  if (key.endsWith('Minute')) return timeOfDay(Number(value));
  if (key.endsWith('Ms')) return formatDuration(Number(value));
  if (secret === 'value') return '[redacted]';
  return secret === 'url' ? withoutPassword(String(value)) : value;
}

function timeOfDay(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
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
