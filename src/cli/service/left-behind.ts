import { readFileSync } from 'node:fs';
import type { LoadedConfig } from '../../config/load-config.ts';
import { metaOf, settingKeys } from '../../config/schema.ts';
import type { ServicePlan } from './service-plan.ts';

/** A setting that holds for whoever installs and not for the service. Never its value: it may be a secret. */
export interface LeftBehind {
  readonly variable: string;
  /** `environment`, `flag --log-level`, … */
  readonly from: string;
  /** Where the service would find it; null: the service has one of its own. */
  readonly putInto: string | null;
}

/** @param known.alreadySet names that the service's own settings have a value for. */
export function settingsLeftBehind(
  plan: Pick<ServicePlan, 'takesOver' | 'settingsGoInto'>,
  { sources }: Pick<LoadedConfig, 'sources'>,
  known: {
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly configFile: string | undefined;
    readonly alreadySet: ReadonlySet<string>;
  },
): LeftBehind[] {
  const { env, configFile, alreadySet } = known;
  return settingKeys.flatMap((key) => {
    const from = sources[key];
    const { variable: own, secret } = metaOf(key);
    if (from === 'default') return [];
    if (plan.takesOver.includes(key)) {
      // The unit listens on a path of its own.
      return key === 'socket' ? { variable: own, from, putInto: null } : [];
    }
    // The file goes with the service.
    if (configFile !== undefined && from === `file ${configFile}`) return [];
    const named = `${own}_FILE`;
    const isNamed = secret !== undefined && from.endsWith(`, named by ${named}`);
    if (isNamed && !env[named]) return [];
    if (alreadySet.has(own) || (secret !== undefined && alreadySet.has(named))) return [];
    return { variable: isNamed ? named : own, from: isNamed ? 'environment' : from, putInto: plan.settingsGoInto };
  });
}

/** Of a file as systemd reads it: `NAME=value` a line. What cannot be read has none. */
export function variablesIn(environmentFile: string): ReadonlySet<string> {
  try {
    const found = readFileSync(environmentFile, 'utf8').matchAll(/^\s*([A-Za-z_]\w*)=(?!\s*(?:""|'')?\s*$)/gm);
    return new Set([...found].map(([, name = '']) => name));
  } catch {
    return new Set();
  }
}
