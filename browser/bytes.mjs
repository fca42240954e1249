// Bytes. A Uint8Array is what files hold and WebCrypto takes. A *binary string*, of one character per byte, is what text is
// read from, so that offsets mean what they mean in the file, and what hashes are held as, so that === compares them.

/** binary makes a binary string of a Uint8Array. */
export function binary(bytes) {
  let s = '';
  for (let i = 0; i < bytes.length; i += 8192) s += String.fromCharCode.apply(null, bytes.subarray(i, i + 8192));
  return s;
}

/** bytesOf makes a Uint8Array of a binary string. */
export function bytesOf(s) {
  const b = new Uint8Array(s.length);
  for (let i = 0; i < s.length; i++) b[i] = s.charCodeAt(i);
  return b;
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const beyondASCII = /[^\x00-\x7f]/;

/** utf8 decodes a binary string; what is not UTF-8 becomes U+FFFD. */
export const utf8 = (s) => (beyondASCII.test(s) ? decoder.decode(bytesOf(s)) : s);

/** isUTF8 tells whether a binary string is valid UTF-8. */
export function isUTF8(s) {
  if (!beyondASCII.test(s)) return true;
  try {
    strict.decode(bytesOf(s));
    return true;
  } catch {
    return false;
  }
}

/** canonicalBase64 decodes to a binary string, or gives null. */
export function canonicalBase64(s) {
  const raw = paddedBase64(s);
  return raw !== null && btoa(raw) === s ? raw : null;
}

/** paddedBase64 does so too, but minds no unused bits: signed notes are read so. */
export function paddedBase64(s) {
  return s.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(s) ? null : atob(s);
}

const hex = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/** hexOf writes a binary string in hexadecimal. */
export function hexOf(s) {
  let out = '';
  for (let i = 0; i < s.length; i++) out += hex[s.charCodeAt(i)];
  return out;
}

/** base64Of writes hexadecimal digits in base64. */
export const base64Of = (digits) => btoa(digits.replace(/../g, (x) => String.fromCharCode(parseInt(x, 16))));

/** uint64 reads 8 bytes, big endian. */
export function uint64(s) {
  const half = (i) => s.charCodeAt(i) * 2 ** 24 + ((s.charCodeAt(i + 1) << 16) | (s.charCodeAt(i + 2) << 8) | s.charCodeAt(i + 3));
  return (BigInt(half(0)) << 32n) | BigInt(half(4));
}

/** cut splits at the first separator; the last of the three tells whether there was one. */
export function cut(s, separator) {
  const i = s.indexOf(separator);
  return i < 0 ? [s, '', false] : [s.slice(0, i), s.slice(i + separator.length), true];
}

/** compare orders as Go does: binary strings by their bytes, numbers by their size. */
export const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
