import { spawn } from 'node:child_process';
import { SupervisorError } from './service-errors.ts';

export type SupervisorCommand = readonly [program: string, ...args: string[]];

export interface CommandOutcome {
  /** Null: there is no such command, or a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Never throws: what went wrong is in the outcome. */
export type RunCommand = (command: SupervisorCommand) => Promise<CommandOutcome>;

/** `enable --now` waits until a daemon has said READY; the first start makes a database, so as long as the unit has. */
const commandMs = 330_000;

export const runCommand: RunCommand = ([program, ...args]) =>
  new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: commandMs });
    const written = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      written.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      written.stderr += text;
    });
    child.on('error', (error) => resolve({ status: null, stdout: written.stdout, stderr: error.message }));
    child.on('close', (status) => resolve({ status, ...written }));
  });

/** @throws SupervisorError with what it said */
export async function supervise(run: RunCommand, command: SupervisorCommand): Promise<void> {
  const { status, stdout, stderr } = await run(command);
  if (status === 0) return;
  throw new SupervisorError(`${command.join(' ')}: ${stderr.trim() || stdout.trim() || `exit status ${status}`}`);
}
