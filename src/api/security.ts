import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { ApiError } from './api-error.ts';

/** Refuses what does not carry the token. Digests are compared, so that neither content nor length shows in the time. */
export function bearerGuard(token: string | undefined): (authorization: string | undefined) => void {
  if (token === undefined) return () => undefined;
  const expected = digest(token);
  return (authorization) => {
    const given = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return;
    throw new ApiError(401, 'UNAUTHORIZED', 'send the token as "authorization: Bearer …"');
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

const loopbackNames = ['localhost', '127.0.0.1', '::1'];
const wildcards = new Set(['0.0.0.0', '::']);

/**
 * Refuses a Host that is not one of ours. A page of evil.example whose name was made to resolve to 127.0.0.1 could
 * otherwise read everything: the browser takes it for the same origin. A literal address cannot be made to resolve
 * elsewhere, so behind a wildcard, where our addresses are not known, any of them will do.
 */
export function hostGuard(httpHost: string, furtherNames: readonly string[]): (host: string | undefined) => void {
  const configured = bareHost(httpHost.toLowerCase());
  const allowed = new Set([...loopbackNames, ...furtherNames.map((name) => name.toLowerCase())]);
  const isWildcard = wildcards.has(configured);
  if (!isWildcard) allowed.add(configured);
  return (host) => {
    const name = hostName(host);
    if (name !== undefined && (allowed.has(name) || (isWildcard && isIP(name) !== 0))) return;
    throw new ApiError(421, 'HOST_NOT_ALLOWED', 'this Host is not served here; see ENGRAMD_HTTP_HOST');
  };
}

/** The name in a Host header, without port and brackets; undefined where it is not one. */
function hostName(host: string | undefined): string | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/.exec(host?.toLowerCase() ?? '');
  // A trailing dot is the same name said absolutely.
  return match?.[1] && bareHost(match[1]).replace(/\.$/, '');
}

function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

/**
 * Refuses a write that a web page could send without being asked for permission first: a form or a plain fetch sends
 * any content type but JSON, and a POST without a body. DELETE is always asked for, and never granted.
 */
export function requireJson(method: string, contentType: string | undefined, hasBody: boolean): void {
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return;
  if (method === 'DELETE' && contentType === undefined && !hasBody) return;
  if (/^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i.test(contentType ?? '')) return;
  throw new ApiError(415, 'UNSUPPORTED_MEDIA_TYPE', 'writes take JSON: send content-type: application/json');
}
