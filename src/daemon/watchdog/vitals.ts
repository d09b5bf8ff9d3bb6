/**
 * What the main thread and its watchdog know of each other without a message: a blocked thread reads none and sends
 * none, and a message a probe would wake a parked process for nothing.
 *
 * Instants are nanoseconds of the monotonic clock, which all threads share; `performance.now()` counts from the start
 * of its own thread.
 */
const slots = ['tickedAtNs', 'nextTickInMs', 'good', 'missed', 'lastGoodAtMs'] as const;

type Slot = (typeof slots)[number];

/** Of `nextTickInMs`: no tick is scheduled. */
const none = -1n;

export class Vitals {
  readonly buffer: SharedArrayBuffer;
  readonly #cells: BigInt64Array;

  /** @param buffer that of the other thread; without, a new one. */
  constructor(buffer?: SharedArrayBuffer) {
    this.buffer = buffer ?? new SharedArrayBuffer(slots.length * BigInt64Array.BYTES_PER_ELEMENT);
    this.#cells = new BigInt64Array(this.buffer);
    if (!buffer) this.#set('nextTickInMs', none);
  }

  /** @param nextInMs null: no tick is scheduled, and the age of the last one says nothing. */
  ticked(nextInMs: number | null): void {
    this.#set('tickedAtNs', process.hrtime.bigint());
    this.#set('nextTickInMs', nextInMs === null ? none : BigInt(Math.ceil(nextInMs)));
  }

  /** Null while no tick is scheduled. */
  get tick(): { readonly ageMs: number; readonly everyMs: number } | null {
    const everyMs = this.#get('nextTickInMs');
    if (everyMs === none) return null;
    return { ageMs: Number(process.hrtime.bigint() - this.#get('tickedAtNs')) / 1e6, everyMs: Number(everyMs) };
  }

  countGood(nowMs: number): void {
    this.#set('good', this.#get('good') + 1n);
    this.#set('lastGoodAtMs', BigInt(nowMs));
  }

  countMissed(): void {
    this.#set('missed', this.#get('missed') + 1n);
  }

  get probes(): { readonly good: number; readonly missed: number } {
    return { good: Number(this.#get('good')), missed: Number(this.#get('missed')) };
  }

  get lastGoodAt(): Date | null {
    const atMs = Number(this.#get('lastGoodAtMs'));
    return atMs === 0 ? null : new Date(atMs);
  }

  #get(slot: Slot): bigint {
    return Atomics.load(this.#cells, slots.indexOf(slot));
  }

  #set(slot: Slot, value: bigint): void {
    Atomics.store(this.#cells, slots.indexOf(slot), value);
  }
}
