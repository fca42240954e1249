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

/** utf8 decodes a binary string; what is not UTF-8 becomes U+FFFD. */
export const utf8 = (s) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytesOf(s));

/** isUTF8 tells whether a binary string is valid UTF-8. */
export function isUTF8(s) {
  try {
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytesOf(s));
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

/** hexOf writes a binary string in hexadecimal. */
export function hexOf(s) {
  let out = '';
  for (let i = 0; i < s.length; i++) out += s.charCodeAt(i).toString(16).padStart(2, '0');
  return out;
}

/** uint64 reads 8 bytes, big endian. */
export function uint64(s) {
  let n = 0n;
  for (let i = 0; i < 8; i++) n = n * 256n + BigInt(s.charCodeAt(i));
  return n;
}

/** cut splits at the first separator; the last of the three tells whether there was one. */
export function cut(s, separator) {
  const i = s.indexOf(separator);
  return i < 0 ? [s, '', false] : [s.slice(0, i), s.slice(i + separator.length), true];
}

/** compare orders as Go does: binary strings by their bytes, numbers by their size. */
export const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
