// Signatures, and hashes of what is large: WebCrypto's. Hashes of what is small are worked out by sha256.mjs.

import { binary, bytesOf } from './bytes.mjs';
import { digest } from './sha256.mjs';

const subtle = globalThis.crypto?.subtle;

const small = 2048; // bytes

/** sha256 hashes a Uint8Array, or a binary string, to a binary string. */
export async function sha256(b) {
  return b.length <= small ? digest(b) : bySubtle(b);
}

async function bySubtle(b) {
  return binary(new Uint8Array(await subtle.digest('SHA-256', typeof b === 'string' ? bytesOf(b) : b)));
}

const imported = new Map();

function imports(point) {
  let key = imported.get(point);
  if (key === undefined) {
    key = subtle.importKey('raw', bytesOf(point), { name: 'Ed25519' }, false, ['verify']);
    imported.set(point, key);
  }
  return key;
}

/** ed25519 tells whether sig is a signature over a message. All three are binary strings; the message can be a Uint8Array. */
export async function ed25519(point, message, sig) {
  if (sig.length !== 64) return false;
  let key;
  try {
    key = await imports(point);
  } catch {
    return false; // bytes that are no point
  }
  return subtle.verify({ name: 'Ed25519' }, key, bytesOf(sig), typeof message === 'string' ? bytesOf(message) : message);
}

// RFC 8032, 7.1, test 2: the message is one byte.
const vector = {
  point: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
  sig: '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
};

/** unsupported says why nothing can be verified here, or is ''. */
export async function unsupported() {
  if (subtle === undefined) return 'this browser has no WebCrypto here';
  const raw = (hex) => hex.replace(/../g, (x) => String.fromCharCode(parseInt(x, 16)));
  try {
    const block = '0123456789abcdef'.repeat(5);
    for (const s of ['', block, block.slice(0, 55), block.slice(0, 64)]) if (digest(s) !== (await bySubtle(s))) return 'two ways to a hash lead to two hashes';
    const right = await ed25519(raw(vector.point), 'r', raw(vector.sig));
    const wrong = await ed25519(raw(vector.point), 's', raw(vector.sig));
    if (right && !wrong) return '';
  } catch {
    // told below
  }
  return "Ed25519 is not supported by this browser's WebCrypto";
}

/** badPoint says why nothing is proven by a public key, or is ''. See entry.md, Keys. */
export function badPoint(point) {
  if (point.length !== 32) return `public key of ${point.length} bytes`;
  const y = bytesOf(point);
  y[31] &= 0x7f; // the sign of x
  if (y[31] === 0x7f && y[0] >= 0xed && y.subarray(1, 31).every((c) => c === 0xff)) return 'public key is not canonical';
  if (smallOrder.includes(binary(y))) return 'public key is of small order: anybody can sign by it';
  return '';
}

// The y of the points of order 1, 2, 4 and 8, little endian.
const smallOrder = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map((hex) => hex.replace(/../g, (x) => String.fromCharCode(parseInt(x, 16))));
