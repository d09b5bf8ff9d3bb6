/** What a slice has under way. */
export class Flights {
  readonly #memoryIds = new Map<Promise<void>, readonly string[]>();
  #landed = Promise.withResolvers<void>();
  #landings = 0;

  /** How many have ended: whoever looks for work looks again if this has moved meanwhile. */
  get landings(): number {
    return this.#landings;
  }

  get size(): number {
    return this.#memoryIds.size;
  }

  /** Memories that somebody is deciding. */
  get memoryIds(): string[] {
    return [...this.#memoryIds.values()].flat();
  }

  /** `work` has to deal with its own failures. */
  add(work: Promise<void>, memoryIds: readonly string[]): void {
    const flight = work.finally(() => {
      this.#memoryIds.delete(flight);
      this.#landings += 1;
      // One promise for whoever waits: a race over all of them would leave a reaction on each, every time.
      this.#landed.resolve();
      this.#landed = Promise.withResolvers<void>();
    });
    this.#memoryIds.set(flight, memoryIds);
  }

  /** Until the next one ends; at once where there is none. */
  async untilOneLands(): Promise<void> {
    if (this.size > 0) await this.#landed.promise;
  }

  async untilAllLand(): Promise<void> {
    while (this.size > 0) await this.#landed.promise;
  }
}
