// SHA-256 (FIPS 180-4), worked out here and at once. WebCrypto's answers come by way of another thread, which for what is small
// takes longer than the work itself: a node of the tree is 2 µs here and 20 to 50 µs there, and a bundle of a thousand events
// asks for thousands. So what is small is hashed here, and what is large by WebCrypto (crypt.mjs). Nothing secret is hashed.

/** digest hashes a Uint8Array, or a binary string, to a binary string. */
export function digest(b) {
  const at = typeof b === 'string' ? put(b) : b;
  const length = b.length;
  const h = new Int32Array(start);
  const whole = length - (length % 64);
  for (let i = 0; i < whole; i += 64) compress(h, at, i);
  // SPEC: FIPS 180-4 5.1.1: a bit 1, zeros, and the length in bits as 64 bits.
  const size = length % 64 < 56 ? 64 : 128;
  tail.fill(0);
  for (let i = whole; i < length; i++) tail[i - whole] = at[i];
  tail[length - whole] = 0x80;
  tailView.setUint32(size - 8, Math.floor(length / 2 ** 29));
  tailView.setUint32(size - 4, (length % 2 ** 29) * 8);
  for (let i = 0; i < size; i += 64) compress(h, tail, i);
  let s = '';
  for (const x of h) s += String.fromCharCode(x >>> 24, (x >>> 16) & 0xff, (x >>> 8) & 0xff, x & 0xff);
  return s;
}

const tail = new Uint8Array(128);
const tailView = new DataView(tail.buffer);
let scratch = new Uint8Array(4096);

/** put writes a binary string to bytes that are used again. */
function put(s) {
  if (s.length > scratch.length) scratch = new Uint8Array(2 * s.length);
  for (let i = 0; i < s.length; i++) scratch[i] = s.charCodeAt(i);
  return scratch;
}

// The first 32 bits of the fractional parts of the square roots of the first 8 primes, and of the cube roots of the first 64.
const start = Int32Array.of(0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19);
const rounds = Int32Array.of(
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
);
const w = new Int32Array(64);

/** compress takes one block of 64 bytes. SPEC: FIPS 180-4 6.2.2. */
function compress(h, b, at) {
  for (let i = 0; i < 16; i++, at += 4) w[i] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15];
    const y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let a = h[0];
  let b1 = h[1];
  let c = h[2];
  let d = h[3];
  let e = h[4];
  let f = h[5];
  let g = h[6];
  let h1 = h[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h1 + s1 + ((e & f) ^ (~e & g)) + rounds[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b1) ^ (a & c) ^ (b1 & c))) | 0;
    h1 = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b1;
    b1 = a;
    a = (t1 + t2) | 0;
  }
  h[0] += a;
  h[1] += b1;
  h[2] += c;
  h[3] += d;
  h[4] += e;
  h[5] += f;
  h[6] += g;
  h[7] += h1;
}
