import type { Command } from 'commander';
import type { LoadedConfig } from '../config/load-config.ts';
import { callControl } from '../daemon/control/control-client.ts';
import type { ControlReply, ControlRequest } from '../daemon/control/protocol.ts';
import { readDaemonFile } from '../daemon/daemon-file.ts';
import { readServiceMarker } from '../daemon/service-marker.ts';
import { call } from './api-client.ts';
import type { Status } from './api-types.ts';
import { DaemonUnreachableError } from './cli-errors.ts';
import { type CommandContext, globalOptions, loadSettings, noteWarnings } from './command-context.ts';
import { findDaemon } from './http-transport.ts';

/** A status waits a second for the store, a forced sleep for one short transaction. */
const timeoutMs = 5000;

/** Sends a control message to the daemon of these settings; undefined where nobody listens. */
export async function sendControl<R extends ControlRequest>(
  loaded: LoadedConfig,
  request: R,
  signal: AbortSignal,
): Promise<ControlReply<R['type']> | undefined> {
  for (const path of controlPaths(loaded)) {
    const reply = await callControl(path, request, { timeoutMs, signal });
    if (reply) return reply;
  }
  return undefined;
}

/**
 * Where the daemon may listen: as set, or where the installed service does. To connect there is to have systemd start it,
 * which a question must not do: it is asked only while `daemon.json` says that one runs.
 */
function controlPaths({ config, sources }: LoadedConfig): string[] {
  const marker = sources.socket === 'default' ? readServiceMarker(config.dataDir) : undefined;
  const isActivated = marker?.kind === 'systemd' && readDaemonFile(config.dataDir) !== undefined;
  return [config.socket, ...(isActivated ? [marker.socket] : [])];
}

/** How the daemon is: from its control socket, which is never busy, or else over HTTP. Undefined where none answers. */
export async function askStatus(loaded: LoadedConfig, signal: AbortSignal): Promise<Status | undefined> {
  const reply = await sendControl(loaded, { type: 'status', fresh: true }, signal);
  if (reply) return reply.status;
  const daemon = await findDaemon({ config: loaded.config, signal });
  return daemon && call<Status>(daemon, { method: 'GET', path: '/v1/status' });
}

export function noDaemon({ config }: LoadedConfig): DaemonUnreachableError {
  const how = readServiceMarker(config.dataDir) ? 'engramd wake has its service start' : 'engramd run starts';
  return new DaemonUnreachableError(`no daemon answers for ${config.dataDir}; ${how} one`);
}

/**
 * A command that is one control message: says what came of it.
 *
 * @throws DaemonUnreachableError
 */
export async function tellDaemon(context: CommandContext, command: Command, request: ControlRequest): Promise<void> {
  const globals = globalOptions(command);
  const loaded = loadSettings(context, globals);
  noteWarnings(context, loaded);
  const reply = await context.interruptible((signal) => sendControl(loaded, request, signal));
  if (!reply) throw noDaemon(loaded);
  if (globals.json) context.terminal.json(reply);
  else if (reply.type !== 'status') context.terminal.out(reply.note);
}
