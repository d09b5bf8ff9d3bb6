import { readFileSync } from 'node:fs';

/** The same distance from src/daemon and dist/daemon. */
const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export const version: string = manifest.version;
