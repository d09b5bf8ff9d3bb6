import { fieldErrors, fieldErrorsText } from './field-errors.ts';
import { lossyJson } from './lossy-json.ts';
import { type MemoryInput, memoryInputSchema } from './memory-schema.ts';

/** Over the longest memory that passes, every character escaped; what is longer is not a line of memories. */
const maxLineBytes = 512 * 1024;

/** What a line of the file was. `line` counts from 1 and counts empty lines. */
export type JsonLine =
  | { readonly line: number; readonly memory: MemoryInput }
  | { readonly line: number; readonly reason: string };

/**
 * Reads memories, a JSON object a line, from bytes in chunks of any size, never holding more than one line. Bad lines
 * come out with their reason between the good ones; empty lines are skipped; a byte order mark and CRLF are accepted.
 */
export async function* readJsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<JsonLine> {
  let line = 0;
  for await (const bytes of splitLines(chunks)) {
    line += 1;
    const parsed = parseLine(bytes, line);
    if (parsed) yield parsed;
  }
}

const byteOrderMark = '\ufeff';

function parseLine(bytes: Buffer | 'too long', line: number): JsonLine | undefined {
  if (bytes === 'too long') return { line, reason: `longer than ${maxLineBytes} bytes` };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { line, reason: 'not valid UTF-8' };
  }
  if (line === 1 && text.startsWith(byteOrderMark)) text = text.slice(1);
  if (text.trim() === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    return { line, reason: `not valid JSON: ${jsonFault(thrown)}` };
  }
  const lossy = lossyJson(value);
  if (lossy) return { line, reason: fieldErrorsText([lossy]) };
  const parsed = memoryInputSchema.safeParse(value);
  if (parsed.success) return { line, memory: parsed.data };
  return { line, reason: fieldErrorsText(fieldErrors(parsed.error)) };
}

/** What JSON.parse says, without the piece of the text it quotes: reports are copied into tickets. */
function jsonFault(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const position = /at position \d+/.exec(message)?.[0];
  if (/^Unexpected end/.test(message)) return 'ends too early';
  if (/^Unterminated string/.test(message)) return `unterminated string${position ? ` ${position}` : ''}`;
  return position ? `unexpected character ${position}` : 'unexpected character';
}

const newline = 0x0a;

/** Lines without their ends. A line that grows too long is dropped as it comes in, so that no file fills the memory. */
async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer | 'too long'> {
  let parts: Buffer[] = [];
  let length = 0;
  // Copied: a stream may use its buffer again, while the part of a line waits for the rest.
  const take = (piece: Buffer) => {
    length += piece.length;
    if (length <= maxLineBytes) parts.push(Buffer.from(piece));
    else parts = [];
  };
  const finish = (): Buffer | 'too long' => {
    const whole: Buffer | 'too long' = length > maxLineBytes ? 'too long' : Buffer.concat(parts);
    parts = [];
    length = 0;
    return whole;
  };
  for await (const chunk of chunks) {
    const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = buffer.indexOf(newline); end >= 0; end = buffer.indexOf(newline, start)) {
      take(buffer.subarray(start, end));
      yield finish();
      start = end + 1;
    }
    if (start < buffer.length) take(buffer.subarray(start));
  }
  if (length > 0) yield finish();
}
