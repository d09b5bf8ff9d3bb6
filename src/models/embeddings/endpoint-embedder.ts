import { createHash } from 'node:crypto';
import type { Clock } from '../../telemetry/clock.ts';
import type { Embedder, EmbeddingModel, EmbedOptions } from '../embedder.ts';
import type { ModelGate } from '../model-gate.ts';
import { ModelContentError, ModelUnavailableError, ProviderError } from '../provider-errors.ts';
import { embeddingFault, InvalidEmbeddingError } from '../validate-embedding.ts';
import { knownModel } from './known-models.ts';
import { type EndpointModel, endpointModelId } from './model-id.ts';
import { cutToTokens, estimateTokens, packTexts } from './pack-texts.ts';
import type { EmbeddingTransport } from './request-embeddings.ts';

export interface EndpointEmbedderOptions extends EndpointModel {
  /** Of the vectors that the database has of this model; null: none yet, what the first answer has is right. */
  readonly pinnedDimensions: number | null;
  readonly gate: ModelGate;
  readonly transport: EmbeddingTransport;
  readonly clock: Clock;
}

/**
 * Longest wait for a batch, and for a query: somebody has asked that and full text can answer alone. Clearly under the 10 s
 * after which recall goes without: a caller who leaves says nothing of the endpoint, and at one who hangs each search would
 * wait as long as the first.
 */
export const embedTimeoutMs = 30_000;
const queryTimeoutMs = 6000;
/** A text that the endpoint calls too long is cut to half as often as this leads to something. */
const shortestCut = 64;
/** Before a model that answers nothing at all is asked again. */
const unfitRestMs = 60_000;
/** Of a model that nobody knows; what `cutToTokens` leaves of a text where the endpoint does not complain. */
const unknownMaxTokens = 8000;
const probeText = 'The embedder answers.';

/** Embeddings from an OpenAI-compatible endpoint, through its gate. See {@link Embedder}. */
export function createEndpointEmbedder(options: EndpointEmbedderOptions): Embedder {
  return new EndpointEmbedder(options);
}

type Outcome =
  | { readonly kind: 'vector'; readonly vector: Float32Array }
  | { readonly kind: 'refused'; readonly reason: string; readonly error: ModelContentError };

class EndpointEmbedder implements Embedder {
  readonly #options: EndpointEmbedderOptions;
  readonly #id: string;
  readonly #maxTokens: number;
  #dimensions: number | null;

  constructor(options: EndpointEmbedderOptions) {
    this.#options = options;
    this.#id = endpointModelId(options);
    this.#maxTokens = knownModel(options.model)?.maxTokens ?? unknownMaxTokens;
    this.#dimensions = options.pinnedDimensions ?? options.askedDimensions;
  }

  get model(): EmbeddingModel {
    const dimensions = this.#dimensions ?? knownModel(this.#options.model)?.dimensions ?? 0;
    return { id: this.#id, dimensions, provider: 'openai' };
  }

  async embed(texts: readonly string[], options: EmbedOptions): Promise<Float32Array[]> {
    const inputs = texts.map((text) => cutToTokens(text.trim() === '' ? '.' : text, this.#maxTokens, estimateTokens));
    const outcomes: Outcome[] = [];
    for (const positions of packTexts(inputs, estimateTokens)) {
      outcomes.push(
        ...(await this.#answer(
          positions.map((position) => inputs[position] ?? ''),
          options,
        )),
      );
    }
    const at = outcomes.findIndex(({ kind }) => kind === 'refused');
    const refused = outcomes[at];
    if (refused?.kind === 'refused') {
      const othersWork = outcomes.some(({ kind }) => kind === 'vector');
      if (!othersWork && !(await this.#works(options))) throw await this.#unfit(refused.error);
      throw new InvalidEmbeddingError(at, refused.reason);
    }
    return outcomes.flatMap((outcome) => (outcome.kind === 'vector' ? [outcome.vector] : []));
  }

  async release(): Promise<void> {
    // Sockets are the client's, which closes idle ones by itself.
  }

  /** One request; where its content is refused, two of half the texts, down to the one that it is. */
  async #answer(inputs: readonly string[], options: EmbedOptions): Promise<Outcome[]> {
    try {
      const vectors = await this.#request(inputs, options);
      return vectors.map((vector) => this.#judge(vector));
    } catch (thrown) {
      if (!(thrown instanceof ModelContentError)) throw thrown;
      const [first = '', ...others] = inputs;
      if (others.length > 0) {
        const middle = Math.ceil(inputs.length / 2);
        return [
          ...(await this.#answer(inputs.slice(0, middle), options)),
          ...(await this.#answer(inputs.slice(middle), options)),
        ];
      }
      // Its tokenizer counts otherwise than we estimate. The beginning of a text is better than no vector.
      if (thrown.kind === 'too_long' && first.length > shortestCut) {
        return this.#answer([cutToTokens(first, Math.floor(estimateTokens(first) / 2), estimateTokens)], options);
      }
      return [{ kind: 'refused', reason: thrown.message, error: thrown }];
    }
  }

  #judge(vector: Float32Array): Outcome {
    const fault = embeddingFault(vector, vector.length);
    if (fault === null) return { kind: 'vector', vector: unit(vector) };
    const sentAtMs = this.#options.clock.monotonicMs();
    return { kind: 'refused', reason: fault, error: new ModelContentError('malformed', fault, { sentAtMs }) };
  }

  async #request(
    inputs: readonly string[],
    { purpose, signal, bankId }: EmbedOptions,
  ): Promise<readonly Float32Array[]> {
    const { gate, transport, model, askedDimensions } = this.#options;
    const isQuery = purpose === 'query';
    const body = { model, input: inputs, ...(askedDimensions !== null && { dimensions: askedDimensions }) };
    const text = JSON.stringify(body);
    return gate.run(
      {
        purpose: 'embed',
        bankId: bankId ?? null,
        requestHash: createHash('sha256').update(text).digest(),
        subjectIds: [],
        memories: purpose === 'memory' ? inputs.length : 0,
        promptBytes: Buffer.byteLength(text),
        maxOutputTokens: 0,
        urgent: isQuery,
      },
      async (signalOfCall) => {
        const answer = await transport(body, {
          signal: signalOfCall,
          timeoutMs: isQuery ? queryTimeoutMs : embedTimeoutMs,
          hasAnswered: gate.hasAnswered,
        });
        this.#learn(answer.vectors, inputs.length);
        return {
          value: answer.vectors,
          usage: answer.usage,
          isUsable: answer.vectors.some((vector) => embeddingFault(vector, vector.length) === null),
        };
      },
      signal ?? new AbortController().signal,
    );
  }

  /**
   * The first answer says how long the vectors are. Another length later is the endpoint's or the settings' doing and no
   * text's: thrown inside the gate, so that the breaker keeps the next calls from asking the same.
   */
  #learn(vectors: readonly Float32Array[], count: number): void {
    if (vectors.length !== count) {
      throw new ProviderError(
        'configuration',
        `${this.#where()} answered ${vectors.length} vectors for ${count} texts; check that it is an embedding model`,
      );
    }
    const lengths = new Set(vectors.map((vector) => vector.length));
    const [length = 0] = lengths;
    if (lengths.size !== 1 || length === 0) {
      throw new ProviderError('configuration', `${this.#where()} answered vectors of different lengths or of none`);
    }
    const expected = this.#dimensions;
    if (expected !== null && expected !== length) throw new ProviderError('configuration', this.#wrongLength(length));
    this.#dimensions = length;
  }

  #wrongLength(length: number): string {
    const { pinnedDimensions, askedDimensions } = this.#options;
    if (askedDimensions !== null && askedDimensions !== length) {
      return `${this.#where()} answers ${length} dimensions although ${askedDimensions} were asked for; unset ENGRAMD_EMBEDDING_DIMENSIONS or take a model that can shorten its vectors`;
    }
    return `${this.#where()} answers ${length} dimensions, the vectors of this database have ${pinnedDimensions ?? this.#dimensions}; set ENGRAMD_EMBEDDING_BASE_URL to the endpoint that made them, or run engramd embeddings switch`;
  }

  #where(): string {
    return `${this.#options.model} at ${this.#options.gate.endpoint}`;
  }

  /** Whether the model answers anything at all: only then is a refused text to blame (law L8). */
  async #works(options: EmbedOptions): Promise<boolean> {
    const [outcome] = await this.#answer([probeText], options);
    return outcome?.kind === 'vector';
  }

  async #unfit(error: ModelContentError): Promise<Error> {
    // Not only this text: the model has been tried with a plain sentence, and each trial is one.
    await this.#options.gate.contentFailed(error, `sent at ${error.sentAtMs}`);
    return new ModelUnavailableError(
      `${this.#where()} answers nothing usable, not even to a plain sentence (${error.message}); take another embedding model`,
      {
        errorClass: 'model_unfit',
        retryAt: new Date(this.#options.clock.now().getTime() + unfitRestMs),
        cause: error,
      },
    );
  }
}

function unit(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / norm);
}
