import type { Command } from 'commander';
import { readJsonLines } from '../ingest/json-lines.ts';
import { call } from './api-client.ts';
import type { WriteResult } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { openIngestSource } from './ingest-source.ts';
import { type BadLine, chunkMemories } from './memory-chunks.ts';
import { bankOption, bankPath } from './options.ts';
import type { Transport } from './transport.ts';

/** A file of nothing but bad lines should not fill the screen; `--json` lists every one. */
const mostBadLinesShown = 50;

export interface IngestReport {
  added: number;
  duplicates: number;
  scrubbed: number;
  readonly bad: BadLine[];
}

export function addIngest(program: Command, context: CommandContext): void {
  program
    .command('ingest <file>')
    .summary('write memories from a file of JSON Lines, or from stdin with -')
    .description(
      'Writes memories from JSON Lines, one object a line. Good lines are kept, bad ones are listed and make the exit code 1. The same content again adds nothing.',
    )
    .addOption(bankOption())
    .addHelpText(
      'after',
      `
A line: {"text": "…", "context"?, "kind"?: "world"|"experience", "tags"?: [], "occurred_start"?, "occurred_end"?,
         "mentioned_at"?, "source_ref"?, "entities"?: [], "metadata"?: {}, "dialogue"?: []}   (times: ISO 8601)

Examples:
  $ engramd ingest memories.jsonl --bank studio
  $ jq -c '{text: .note, mentioned_at: .date}' notes.json | engramd ingest -`,
    )
    .action(async (file: string, options: { bank: string }, command: Command) => {
      const globals = globalOptions(command);
      const { terminal } = context;
      const source = await context.interruptible((signal) => openIngestSource(file, context.stdin, signal));
      let report: IngestReport;
      try {
        report = await withTransport(context, globals, (transport) =>
          ingest(transport, options.bank, source, (done) => terminal.progress(`${done} memories sent`)),
        );
      } finally {
        await source.close();
      }
      if (report.bad.length > 0) context.exitWith(1);
      if (globals.json) return terminal.json(report);
      for (const { line, reason } of report.bad.slice(0, mostBadLinesShown)) {
        terminal.note(`${file === '-' ? 'stdin' : file}:${line}: ${reason}`);
      }
      const unshown = report.bad.length - mostBadLinesShown;
      if (unshown > 0) terminal.note(`… and ${unshown} more`);
      const scrubbed = report.scrubbed > 0 ? `, ${report.scrubbed} secrets taken out` : '';
      terminal.out(
        `${report.added} added, ${report.duplicates} there already, ${report.bad.length} bad lines${scrubbed}`,
      );
    });
}

/** Sends everything that is good, chunk by chunk, and returns what became of it. */
export async function ingest(
  transport: Transport,
  bank: string,
  source: { readonly hash: string; chunks(): AsyncIterable<Uint8Array> },
  onProgress: (done: number) => void,
): Promise<IngestReport> {
  const report: IngestReport = { added: 0, duplicates: 0, scrubbed: 0, bad: [] };
  const lines = readJsonLines(source.chunks());
  for await (const { memories } of chunkMemories(lines, `file:${source.hash}`, (line) => report.bad.push(line))) {
    const written = await call<WriteResult>(transport, {
      method: 'POST',
      path: bankPath(bank, '/memories'),
      body: memories,
    });
    report.added += written.added;
    report.duplicates += written.duplicates;
    report.scrubbed += written.scrubbed;
    onProgress(report.added + report.duplicates);
  }
  return report;
}
