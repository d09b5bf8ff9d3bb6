import type { Transport, TransportOptions } from './transport.ts';

interface LocalTransportOptions extends TransportOptions {
  /** See ComposeOptions. */
  readonly extraServerSettings?: Readonly<Record<string, string>>;
}

/** The same routes without a daemon: on DATABASE_URL, or on the embedded server started under the lock for this command. */
export async function openLocalTransport(options: LocalTransportOptions): Promise<Transport> {
  const { config, hasWorkers, log, clock, signal, extraServerSettings } = options;
  // Beside a daemon this is never needed, and it is most of what there is to load.
  const { compose } = await import('../daemon/compose.ts');
  const composition = await compose({
    config,
    mode: 'cli',
    hasWorkers,
    log,
    clock,
    signal,
    ...(extraServerSettings && { extraServerSettings }),
  });
  return {
    kind: 'local',
    async request({ method, path, body, headers }) {
      signal.throwIfAborted();
      const response = await composition.app.inject({
        method,
        url: path,
        headers: { ...headers },
        ...(body !== undefined && { payload: body as object }),
      });
      return { status: response.statusCode, body: response.payload === '' ? null : response.json() };
    },
    close: () => composition.stop('command done'),
  };
}
