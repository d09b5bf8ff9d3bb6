import { scrubSecrets } from '../scrub-secrets.ts';

/** Which endpoint an error is about, and what its settings are called: embeddings have their own. */
export interface EndpointFacts {
  /** Without credentials. */
  readonly endpoint: string;
  readonly model: string;
  readonly settings: {
    readonly baseUrl: string;
    readonly apiKey: string;
    readonly model: string;
    /** Of the longest wait, where there is a setting for it. */
    readonly timeout?: string;
    /** Of how much a request may hold, where there is one. */
    readonly size?: string;
  };
  /** Keys that a server might repeat. */
  readonly secrets: readonly string[];
}

const longestMessage = 400;

/**
 * One line for the log, status and doctor: who, what, what to change. It holds nothing that a server wrote but
 * identifiers, since servers repeat the prompt in their errors, and a prompt is made of memories.
 */
export function errorLine(facts: EndpointFacts, what: string, advice: string): string {
  const who = `${cut(facts.endpoint, 120)} (${cut(facts.model, 60)})`;
  let line = `${who} ${what}: ${advice}`;
  for (const secret of facts.secrets) if (secret.length >= 8) line = line.replaceAll(secret, '[secret removed]');
  return cut(scrubSecrets(line).value, longestMessage);
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/** `invalid_api_key`, `response_format.json_schema`: a word of a protocol. Anything else may be text of a prompt. */
export function identifier(value: unknown): string | null {
  return typeof value === 'string' && /^[A-Za-z][\w.[\]-]{1,63}$/.test(value) ? value : null;
}
