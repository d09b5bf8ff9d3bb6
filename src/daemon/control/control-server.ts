import { lstatSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { AnswerDeps } from './answer-line.ts';
import { type Connection, serveConnection } from './connection.ts';
import type { InheritedListener } from './inherited-sockets.ts';
import { listenOnPath, SocketPathError } from './listen-on-path.ts';

export interface ControlServerOptions extends AnswerDeps {
  /** Where to listen: a path of our own, or what the supervisor handed down. */
  readonly at: { readonly path: string } | { readonly inherited: readonly InheritedListener[] };
}

export interface ControlServer {
  /** Takes no more connections and no more lines, lets what is in hand be answered, and cuts off what takes longer. */
  stop(): Promise<void>;
  connections(): number;
  /**
   * Makes the socket's file again, which somebody has removed: without it nobody can connect. Connections that stand stay.
   *
   * @throws SocketPathError, SocketInUseError
   */
  listenAgain(): Promise<void>;
}

interface Listening {
  close(): void;
  again(): Promise<void>;
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

  const listening = await listen(at, accept);

  return {
    connections: () => open.size,
    async listenAgain() {
      if (isStopping) return;
      await listening.again();
      if (isStopping) listening.close();
    },
    async stop() {
      isStopping = true;
      listening.close();
      for (const connection of open.values()) connection.finish();
      if (open.size > 0) await clock.sleep(answerMs, empty.signal);
      for (const connection of open.values()) connection.destroy();
    },
  };
}

async function listen(at: ControlServerOptions['at'], accept: (socket: Socket) => void): Promise<Listening> {
  if ('inherited' in at) {
    for (const listener of at.inherited) listener.accept(accept);
    return {
      close() {
        for (const listener of at.inherited) listener.close();
      },
      again: () =>
        Promise.reject(new Error('the supervisor made it, and makes it again when its socket unit is restarted')),
    };
  }
  const { path } = at;
  let server = await listenAt(path, accept);
  return {
    close: () => void server.close(),
    async again() {
      // Its close removes whatever is there now.
      if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false)
        throw new SocketPathError(path, 'there is a file of that name which is no socket');
      // Before the new one, whose file it would remove.
      server.close();
      server = await listenAt(path, accept);
    },
  };
}

async function listenAt(path: string, accept: (socket: Socket) => void): Promise<Server> {
  // A client that has said all it wanted, e.g. `echo … | nc -U`, still gets its answers.
  const server = createServer({ allowHalfOpen: true }, accept);
  await listenOnPath(server, path);
  return server;
}
