import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ScriptedModelOptions } from '../scripted-model.ts';

export interface ScriptedModelProcess {
  /** Ends in `/v1`. */
  readonly baseUrl: string;
  readonly pid: number;
  counts(): Promise<{ chat: number; embed: number; inFlight: number; mostInFlight: number }>;
  reset(): Promise<void>;
  close(): Promise<void>;
}

const entry = fileURLToPath(new URL('./main.ts', import.meta.url));

/** The honest scripted model in a process of its own. */
export async function startScriptedModelProcess(
  options: Omit<ScriptedModelOptions, 'onChat' | 'onEmbed'> = {},
): Promise<ScriptedModelProcess> {
  const child = spawn(process.execPath, [entry, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const [baseUrl] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    ended.then(([code]) => {
      throw new Error(`the scripted model ended with ${String(code)} before it listened`);
    }),
  ])) as [string];
  const control = new URL('/scripted/', baseUrl);
  return {
    baseUrl,
    pid: child.pid ?? 0,
    counts: async () => (await fetch(new URL('counts', control))).json() as ReturnType<ScriptedModelProcess['counts']>,
    reset: async () => {
      await fetch(new URL('reset', control), { method: 'POST' });
    },
    close: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
