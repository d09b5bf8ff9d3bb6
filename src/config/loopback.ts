import { isIPv4 } from 'node:net';

/**
 * Whether only this machine can reach what listens on `host`. A name other than `localhost` counts as not: what it
 * resolves to is decided elsewhere and may change after the check.
 */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (bare === 'localhost' || bare === '::1') return true;
  return isIPv4(bare) && bare.startsWith('127.');
}
