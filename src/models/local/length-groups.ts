/**
 * Splits a batch into groups of similar length, as positions. The model pads every text to the longest of its batch:
 * 31 short texts took 118 ms, with one of 700 characters among them 1044 ms, apart 173 ms.
 */
export function lengthGroups(inputs: readonly string[]): number[][] {
  const byLength = inputs.map((input, position) => ({ position, length: input.length }));
  byLength.sort((a, b) => a.length - b.length || a.position - b.position);
  const groups: number[][] = [];
  let limit = -1;
  for (const { position, length } of byLength) {
    if (length > limit) {
      limit = length * 1.5 + 32;
      groups.push([]);
    }
    groups.at(-1)?.push(position);
  }
  return groups;
}
