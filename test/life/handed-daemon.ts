import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { linkSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** As systemd does: the process is told its own id. */
const script = 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"';

async function descriptorOf(server: Server): Promise<number> {
  if (!server.listening) await once(server, 'listening');
  return (server as unknown as { _handle: { fd: number } })._handle.fd;
}

/** `engramd run` on sockets that were opened for it, at addresses that its settings know nothing of. */
export async function startHanded(dataDir: string, path: string, env: Readonly<Record<string, string>>) {
  const unix = createServer().listen(path);
  const tcp = createServer().listen(0, '127.0.0.1');
  const descriptors = [await descriptorOf(unix), await descriptorOf(tcp)];
  const { port } = tcp.address() as AddressInfo;
  const child = spawn('sh', ['-c', script, 'sh', process.execPath, main, 'run', '--data-dir', dataDir], {
    env: { PATH: process.env.PATH, LISTEN_FDS: '2', ...env },
    stdio: ['ignore', 'ignore', 'pipe', ...descriptors],
  });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  // The child alone accepts from here on. A server that closes removes its path, by which the kernel knows it.
  linkSync(path, `${path}.kept`);
  unix.close();
  tcp.close();
  linkSync(`${path}.kept`, path);
  return { child, ended, port, stderr: () => stderr };
}
