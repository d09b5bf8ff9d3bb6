/** What is known of a model before its first answer. Others are asked: nothing depends on standing in here. */
interface KnownModel {
  readonly dimensions: number;
  /** Tokens of one text. */
  readonly maxTokens: number;
}

const byName: Readonly<Record<string, KnownModel>> = {
  'text-embedding-3-small': { dimensions: 1536, maxTokens: 8191 },
  'text-embedding-3-large': { dimensions: 3072, maxTokens: 8191 },
  'text-embedding-ada-002': { dimensions: 1536, maxTokens: 8191 },
  'nomic-embed-text': { dimensions: 768, maxTokens: 2048 },
  'mxbai-embed-large': { dimensions: 1024, maxTokens: 512 },
  'all-minilm': { dimensions: 384, maxTokens: 256 },
  'bge-m3': { dimensions: 1024, maxTokens: 8192 },
  'snowflake-arctic-embed2': { dimensions: 1024, maxTokens: 8192 },
};

/** Ollama's names carry a tag (`bge-m3:latest`), other servers a path (`BAAI/bge-m3`). */
export function knownModel(model: string): KnownModel | undefined {
  const name = model
    .toLowerCase()
    .replace(/:[^:/]*$/, '')
    .split('/')
    .at(-1);
  return name === undefined ? undefined : byName[name];
}
