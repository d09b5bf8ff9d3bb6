import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';

export type Log = Logger;

/**
 * Paths that never reach a log line, wherever they are nested one level deep. Text of memories is not a secret but is
 * private: nothing below `warn` carries it, and it is never put under these keys.
 */
const redactedPaths = [
  'apiToken',
  'metricsToken',
  'apiKey',
  'password',
  'authorization',
  'connectionString',
  'databaseUrl',
  '*.apiToken',
  '*.metricsToken',
  '*.apiKey',
  '*.password',
  '*.authorization',
  '*.connectionString',
  '*.databaseUrl',
];

/** Pretty on a terminal, JSON lines elsewhere; always on stderr, since stdout belongs to the answer of a command. */
export function createLog(options: { level: string; pretty: boolean; destination?: DestinationStream }): Log {
  const base = {
    level: options.level,
    timestamp: stdTimeFunctions.isoTime,
    redact: { paths: redactedPaths, censor: '[redacted]' },
    base: { pid: process.pid },
  };
  if (options.destination) return pino(base, options.destination);
  if (options.pretty) {
    return pino({
      ...base,
      transport: {
        target: 'pino-pretty',
        options: { destination: 2, ignore: 'pid,hostname', translateTime: 'HH:MM:ss' },
      },
    });
  }
  return pino(base, pino.destination({ dest: 2, sync: true }));
}

export const silentLog: Log = pino({ level: 'silent' });
