import { type LaunchdOptions, ownMark } from './service-options.ts';
import type { ServiceFile } from './systemd-units.ts';

export const launchdLabel = 'dev.engramd.daemon';

type PlistValue = string | number | boolean | { readonly [key: string]: PlistValue } | readonly PlistValue[];

/** The property list that launchd reads. Pure: the same options give the same bytes. */
export function launchdPlist(options: LaunchdOptions): ServiceFile {
  const environment = {
    ENGRAMD_DATA_DIR: options.dataDir,
    ...(options.configFile !== undefined && { ENGRAMD_CONFIG: options.configFile }),
  };
  const entries: [key: string, value: PlistValue, why?: string][] = [
    ['Label', launchdLabel],
    ['ProgramArguments', [options.node, options.main, 'run']],
    ['EnvironmentVariables', environment],
    ['RunAtLoad', true],
    [
      'KeepAlive',
      { SuccessfulExit: false },
      'Started again after a failure or a kill, not after an ordered end. Codes cannot be told apart here: at most once a minute.',
    ],
    ['ThrottleInterval', 60],
    [
      'ProcessType',
      'Adaptive',
      'Background slows disk and processor down for good, and a recall with them, three to four times.',
    ],
    ['ExitTimeOut', 40, 'A stop is bounded to 25 s.'],
    ['SoftResourceLimits', { NumberOfFiles: 8192 }, 'By default 256.'],
    ['Umask', 0o077],
    ['StandardOutPath', options.logFile],
    ['StandardErrorPath', options.logFile],
  ];
  const body = entries.map(([key, value, why]) => {
    const comment = why === undefined ? '' : `${indent(1)}<!-- ${why} -->\n`;
    return `${comment}${indent(1)}<key>${key}</key>\n${element(value, 1)}`;
  });
  const content = `<?xml version="1.0" encoding="UTF-8"?>
<!-- ${ownMark}, which replaces it. -->
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
${body.join('\n')}
</dict>
</plist>
`;
  return { name: `${launchdLabel}.plist`, content };
}

function element(value: PlistValue, depth: number): string {
  const at = indent(depth);
  if (typeof value === 'string') return `${at}<string>${text(value)}</string>`;
  if (typeof value === 'number') return `${at}<integer>${value}</integer>`;
  if (typeof value === 'boolean') return `${at}<${value}/>`;
  if (isList(value)) return `${at}<array>\n${value.map((item) => element(item, depth + 1)).join('\n')}\n${at}</array>`;
  const keys = Object.entries(value).map(
    ([key, item]) => `${indent(depth + 1)}<key>${key}</key>\n${element(item, depth + 1)}`,
  );
  return `${at}<dict>\n${keys.join('\n')}\n${at}</dict>`;
}

/** Array.isArray alone does not narrow a readonly list. */
function isList(value: PlistValue): value is readonly PlistValue[] {
  return Array.isArray(value);
}

function indent(depth: number): string {
  return '\t'.repeat(depth);
}

function text(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
