/** A base URL as it may be shown and stored: without user, password, query and the slash at its end. */
export function endpointOf(baseUrl: string): string {
  const url = new URL(baseUrl);
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}
