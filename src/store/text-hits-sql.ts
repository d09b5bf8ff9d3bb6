/** Parts of the two statements that look for words: that of now and that of an instant. */

/** A place in the list of a statement's parameters. */
type Parameter = `$${number}`;

/** In a large bank a thousand rows share the one word that a question has in common with it. */
export const mostTies = 1000;

/**
 * 48 words are more than a question has; of a longer text the longest are asked for, since long words are rare ones more
 * often than not, and knowing which are would cost the probes that the limit saves. A lexeme is quoted by hand:
 * to_tsquery would stem it once more.
 */
export const queryWords = (query: Parameter) => `words as materialized (
  select n, ('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''')::tsquery as word
  from unnest(tsvector_to_array(to_tsvector('english', ${query}))) with ordinality as u(lexeme, n)
  order by length(lexeme) desc, n limit 48)`;

/**
 * What each word of `hits` (is_memory, id, n) is worth among as many rows as `corpus` (is_memory, size) says, and with it
 * the best `limit` of each target and what ties with the last, no more than `most`. Rounded, so that the same words added
 * up in another order tie.
 */
export const scoredHits = (limit: Parameter, most: Parameter) => `worth as (
    select h.n, ln(1 + (greatest(c.size - count(*) filter (where h.is_memory = c.is_memory), 0) + 0.5)
      / (count(*) filter (where h.is_memory = c.is_memory) + 0.5))::float8 as weight
    from hits h cross join corpus c group by h.n, c.size),
  scored as materialized (
    select is_memory, id, round(sum(weight) * 1e5) / 1e5 as score
    from hits join worth using (n) group by is_memory, id)
  select 'memories' as target, id, score from (
    select id, score from (
      select id, score from scored where is_memory order by score desc fetch first ${limit} rows with ties) as tied
    order by score desc limit ${most}) as m
  union all
  select 'observations', id, score from (
    select id, score from (
      select id, score from scored where not is_memory order by score desc fetch first ${limit} rows with ties) as tied
    order by score desc limit ${most}) as o`;
