import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';
import { pathOfUnixSocket } from './unix-path.ts';

/** A socket that the supervisor listens on for us, by the convention of systemd. */
export interface InheritedListener {
  /** Hands over who has connected so far, and from then on whoever connects. */
  accept(onConnection: (socket: Socket) => void): void;
  /**
   * Has `server` listen in our place, which is what an HTTP server needs to give up on clients that never finish. At most one.
   */
  moveTo(server: Server): Promise<void>;
  /** Takes no more connections. Those that stand stay; the address stays the supervisor's. */
  close(): void;
}

export interface InheritedControl extends InheritedListener {
  /** Where it really is, whatever the settings say; null where the system does not tell. */
  readonly path: string | null;
}

export interface InheritedHttp extends InheritedListener {
  /** Where it really is, whatever the settings say. */
  readonly address: AddressInfo;
}

export interface InheritedSockets {
  /** Unix sockets: for the control plane. */
  readonly control: readonly InheritedControl[];
  /** Sockets with an address and a port: for HTTP. */
  readonly http: readonly InheritedHttp[];
}

/** What was handed down cannot be listened on. */
export class InheritedSocketError extends EngramdError {
  readonly code = 'INHERITED_SOCKET';
  override readonly exitCode = 2;
}

const firstDescriptor = 3;

/**
 * Takes the listening sockets that LISTEN_PID and LISTEN_FDS announce, sorted by what they are and not by their order in
 * the unit. The variables go: a child of ours would take them for its own.
 *
 * @throws InheritedSocketError
 */
export async function takeInheritedSockets(
  env: Record<string, string | undefined>,
  pid = process.pid,
): Promise<InheritedSockets> {
  const announced = { pid: env.LISTEN_PID, count: env.LISTEN_FDS };
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  const control: InheritedControl[] = [];
  const http: InheritedHttp[] = [];
  // Meant for somebody else: a shell in between, whose variables we have got.
  if (announced.count === undefined || announced.pid !== String(pid)) return { control, http };
  if (!/^\d{1,3}$/.test(announced.count))
    throw new InheritedSocketError(`LISTEN_FDS is ${JSON.stringify(announced.count)}, not a number of sockets`);
  for (let fd = firstDescriptor; fd < firstDescriptor + Number(announced.count); fd += 1) {
    const { address, listener } = await listenOn(fd);
    if (address === null) control.push({ ...listener, path: pathOfUnixSocket(fd) });
    else http.push({ ...listener, address });
  }
  return { control, http };
}

/** Without an address: a unix socket, of whose path Node tells only where it has bound it itself. */
async function listenOn(fd: number): Promise<{ address: AddressInfo | null; listener: InheritedListener }> {
  const early: Socket[] = [];
  let handOver = (socket: Socket): void => void early.push(socket);
  // Paused, so that nothing of what a client says is lost before somebody listens to it.
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => handOver(socket));
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ fd }, resolve);
    });
  } catch (cause) {
    throw new InheritedSocketError(
      `descriptor ${fd}, which the supervisor handed down, cannot be listened on: ${errorMessage(cause)}`,
      { cause },
    );
  }
  const address = server.address();
  return {
    address: typeof address === 'object' ? address : null,
    listener: {
      accept(onConnection) {
        handOver = (socket) => {
          onConnection(socket);
          socket.resume();
        };
        for (const socket of early.splice(0)) handOver(socket);
      },
      async moveTo(other) {
        // It takes the handle over, not the address, which may have been the supervisor's for days.
        await new Promise<void>((resolve) => other.listen(server, resolve));
        for (const socket of early.splice(0)) {
          other.emit('connection', socket);
          socket.resume();
        }
      },
      close() {
        server.close();
        for (const socket of early.splice(0)) socket.destroy();
      },
    },
  };
}
