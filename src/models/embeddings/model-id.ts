/** What a model of an endpoint is called beside its vectors. */
export interface EndpointModel {
  /** As the endpoint knows it. */
  readonly model: string;
  /** Asked for in each request; null: as many as the model makes. */
  readonly askedDimensions: number | null;
}

/**
 * `openai/<model>`, with `@<dimensions>` where they were asked for: vectors of one model cut to another length are
 * another model's. A name that itself ends in what looks like that (`model@512`) has a bare `@` behind it. The endpoint is
 * not part of the id, since the same model answers alike wherever it runs.
 */
export function endpointModelId({ model, askedDimensions }: EndpointModel): string {
  const id = `openai/${model}`;
  if (askedDimensions !== null) return `${id}@${askedDimensions}`;
  return parseEndpointModelId(id)?.model === model ? id : `${id}@`;
}

/** The inverse; null where the id is no endpoint's. No length begins with 0: `textembedding-gecko@003` is a name. */
export function parseEndpointModelId(id: string): EndpointModel | null {
  const match = /^openai\/(.+?)(?:@([1-9]\d{0,4})?)?$/.exec(id);
  const [, model, dimensions] = match ?? [];
  if (model === undefined) return null;
  return { model, askedDimensions: dimensions === undefined ? null : Number(dimensions) };
}

/** A model somebody asks for, with what is known of its vectors. */
export interface WantedModel {
  readonly id: string;
  readonly provider: 'local' | 'openai';
  /** Null: the first answer tells. */
  readonly dimensions: number | null;
}
