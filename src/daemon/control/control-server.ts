import { createServer, type Socket } from 'node:net';
import type { AnswerDeps } from './answer-line.ts';
import { type Connection, serveConnection } from './connection.ts';
import type { InheritedListener } from './inherited-sockets.ts';
import { listenOnPath } from './listen-on-path.ts';

export interface ControlServerOptions extends AnswerDeps {
  /** Where to listen: a path of our own, or what the supervisor handed down. */
  readonly at: { readonly path: string } | { readonly inherited: readonly InheritedListener[] };
}

export interface ControlServer {
  /** Takes no more connections and no more lines, lets what is in hand be answered, and cuts off what takes longer. */
  stop(): Promise<void>;
  connections(): number;
}

/** Of the 500 ms that a stop may take. */
const answerMs = 300;

/**
 * Serves the control plane and JSON-RPC on a unix socket that only this user can open, which is why it asks for no token.
 *
 * @throws SocketPathError, SocketInUseError
 */
export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const { at, clock } = options;
  const open = new Map<Socket, Connection>();
  const empty = new AbortController();
  let isStopping = false;

  function accept(socket: Socket): void {
    if (isStopping) return void socket.destroy();
    open.set(socket, serveConnection(socket, options));
    socket.once('close', () => {
      open.delete(socket);
      if (isStopping && open.size === 0) empty.abort();
    });
  }

  const close = await listen(at, accept);

  return {
    connections: () => open.size,
    async stop() {
      isStopping = true;
      close();
      for (const connection of open.values()) connection.finish();
      if (open.size > 0) await clock.sleep(answerMs, empty.signal);
      for (const connection of open.values()) connection.destroy();
    },
  };
}

async function listen(at: ControlServerOptions['at'], accept: (socket: Socket) => void): Promise<() => void> {
  if ('inherited' in at) {
    for (const listener of at.inherited) listener.accept(accept);
    return () => {
      for (const listener of at.inherited) listener.close();
    };
  }
  // A client that has said all it wanted, e.g. `echo … | nc -U`, still gets its answers.
  const server = createServer({ allowHalfOpen: true }, accept);
  await listenOnPath(server, at.path);
  return () => void server.close();
}
