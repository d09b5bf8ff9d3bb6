/**
 * Vectors between PostgreSQL's `real[]` and `Float32Array`. They are read as the bytes of `array_send(embedding)`:
 * 2,500 rows of 512 numbers took 64 ms that way and 450 ms as text. There is no cast from bytes back, so they are
 * written as an array literal.
 */

const realOid = 700;
/** Number of dimensions, null flag, element type; then length and lower bound of the only dimension. */
const headerBytes = 20;
/** Each number carries its own length in front. */
const elementBytes = 8;
const emptyArrayBytes = 12;

/** How many bytes `array_send` makes of a vector. A NULL among the numbers makes it shorter. */
export function realArrayByteLength(dimensions: number): number {
  return headerBytes + elementBytes * dimensions;
}

/**
 * @param bytes `array_send(real[])`.
 * @throws TypeError if they are something else: another element type, more than one dimension, a NULL inside.
 */
export function decodeRealArray(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isEmpty = bytes.byteLength === emptyArrayBytes && view.getInt32(0) === 0 && view.getInt32(8) === realOid;
  const dimensions = isEmpty ? 0 : (bytes.byteLength - headerBytes) / elementBytes;
  const vector = new Float32Array(Math.max(0, Math.trunc(dimensions)));
  if (!isEmpty) decodeRealArrayInto(view, 0, bytes.byteLength, vector, 0);
  return vector;
}

/**
 * Decodes one of many arrays that stand in one buffer, without an object a row.
 *
 * @param view the buffer; the array's `byteLength` bytes begin at `byteOffset`.
 * @param target gets the numbers, from `targetOffset` on.
 * @throws TypeError as {@link decodeRealArray}.
 */
export function decodeRealArrayInto(
  view: DataView,
  byteOffset: number,
  byteLength: number,
  target: Float32Array,
  targetOffset: number,
): void {
  const dimensions = (byteLength - headerBytes) / elementBytes;
  // Any NULL is four bytes short, so the length alone says that there is none.
  if (
    !Number.isInteger(dimensions) ||
    dimensions < 1 ||
    view.getInt32(byteOffset) !== 1 ||
    view.getInt32(byteOffset + 8) !== realOid ||
    view.getInt32(byteOffset + 12) !== dimensions
  ) {
    throw new TypeError(`${byteLength} bytes that are no array_send() of a one-dimensional real[] without NULLs`);
  }
  let at = byteOffset + headerBytes + 4;
  for (let i = 0; i < dimensions; i += 1) {
    target[targetOffset + i] = view.getFloat32(at);
    at += elementBytes;
  }
}

/**
 * The literal `{0.5,-1,…}` for a parameter that is cast with `::real[]`. Digits are those of the double that the number
 * is, so that the server reads back the same 32 bits.
 */
export function encodeRealArray(vector: Float32Array): string {
  const bits = new Int32Array(vector.buffer, vector.byteOffset, vector.length);
  // Joined, -0 is written "0": an undone change would not restore the vector that it had before.
  if (bits.includes(-0x80000000))
    return `{${Array.from(vector, (value) => (Object.is(value, -0) ? '-0' : value)).join(',')}}`;
  return `{${vector.join(',')}}`;
}

/** The bytes that `array_send` makes of the vector: what history keeps of a vector that stands in no row. */
export function encodeRealBytes(vector: Float32Array): Buffer {
  const bytes = Buffer.alloc(realArrayByteLength(vector.length));
  bytes.writeInt32BE(1, 0);
  bytes.writeInt32BE(realOid, 8);
  bytes.writeInt32BE(vector.length, 12);
  bytes.writeInt32BE(1, 16);
  vector.forEach((value, index) => {
    const at = headerBytes + index * elementBytes;
    bytes.writeInt32BE(4, at);
    bytes.writeFloatBE(value, at + 4);
  });
  return bytes;
}
