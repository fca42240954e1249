// Verifier keys, checkpoints, and the signed notes (https://c2sp.org/signed-note) under which their signatures stand.
// Everything is a binary string.

import { canonicalBase64, cut, hexOf, isUTF8, paddedBase64, uint64, utf8 } from './bytes.mjs';
import { badPoint, ed25519, sha256 } from './crypt.mjs';
import { keyName } from './entry.mjs';

export const types = { ed25519: 1, cosignature: 4, mldsa: 6 };
export const typeNames = { 1: 'ed25519', 4: 'cosignature-ed25519', 6: 'cosignature-ml-dsa-44' };
const maxSize = 2n ** 63n - 1n;
const maxName = 255;
const mldsaPublic = 1312;
const mldsaSignature = 2420;
const receivedType = '\xffsteno/received/v1';

const space = /\p{White_Space}/u;

/** A Refusal is an error about evidence, in words that quote nothing that its author chose but names. */
export class Refusal extends Error {
  constructor(words, more = {}) {
    super(words);
    Object.assign(this, more);
    this.detail = more.code === undefined ? words : `${words} (${more.code})`;
  }
}

/** checkName says what is wrong with the name of a key or operator, or ''. */
export function checkName(name) {
  const s = utf8(name);
  if (name === '' || name.length > maxName || !isUTF8(name) || space.test(s) || /\p{Cc}/u.test(s) || s.includes('+')) {
    return `name is not 1 to ${maxName} bytes of UTF-8 without spaces, control characters and plus signs`;
  }
  return '';
}

/** split reads NAME+KEYID+BASE64 in its one spelling: the base64 is of a type and what belongs to it. */
async function split(vkey) {
  const [name, rest] = cut(vkey, '+');
  const [id, base64] = cut(rest, '+');
  const raw = canonicalBase64(base64);
  if (!/^[0-9a-f]{8}$/.test(id) || raw === null || raw === '') throw new Refusal('a verifier key is not in its one spelling');
  // SPEC: signed-note: key ID = SHA-256(key name || 0x0A || signature type || public key)[:4].
  if (hexOf((await sha256(`${name}\n${raw}`)).slice(0, 4)) !== id) throw new Refusal('key ID does not match the key');
  return { vkey, name, id, raw };
}

/** checkpointKey reads a key of a log or witness. */
export async function checkpointKey(vkey) {
  const k = await split(vkey);
  const wrong = checkName(k.name);
  if (wrong !== '') throw new Refusal(wrong);
  const type = k.raw.charCodeAt(0);
  const point = k.raw.slice(1);
  if (typeNames[type] === undefined) throw new Refusal('signature type is not one that signs checkpoints here');
  const bad = type === types.mldsa ? (point.length === mldsaPublic ? '' : 'public key of another length') : badPoint(point);
  if (bad !== '') throw new Refusal(bad);
  return { vkey, name: k.name, id: k.id, type, point };
}

/** plainKey reads a key of plain Ed25519. */
export async function plainKey(vkey) {
  const k = await split(vkey);
  if (!keyName.test(k.name)) throw new Refusal("a key's name is not printable ASCII without spaces and plus signs");
  if (k.raw.charCodeAt(0) !== types.ed25519) throw new Refusal('not a key of plain Ed25519');
  return pointed(k, k.raw.slice(1));
}

/** receivedKey reads a key of receipts. */
export async function receivedKey(vkey) {
  const k = await split(vkey);
  if (!keyName.test(k.name) || !k.name.endsWith('/received')) throw new Refusal('not NAME/received+KEYID+BASE64');
  if (!k.raw.startsWith(receivedType)) throw new Refusal('not a key of receipts');
  return pointed(k, k.raw.slice(receivedType.length));
}

function pointed(k, point) {
  const bad = badPoint(point);
  if (bad !== '') throw new Refusal(bad);
  return { vkey: k.vkey, name: k.name, id: k.id, point };
}

// WebCrypto works on several signatures at once, and a chain asks for one after the other: so they are begun ahead.
const begun = new WeakMap();

/** verifyPlain tells whether a signature line is by a key, over a text, a binary string or a Uint8Array. */
export function verifyPlain(key, text, line) {
  const b = begun.get(line);
  if (b !== undefined && b.point === key.point && b.text === text) return b.right;
  const right = ed25519(key.point, text, line.sig);
  begun.set(line, { point: key.point, text, right });
  return right;
}

/** verifyReceipt tells so of a receipt, over a Uint8Array. */
export function verifyReceipt(key, text, line) {
  const head = `steno/received/v1\ntime ${line.time}\n`;
  const message = new Uint8Array(head.length + text.length);
  for (let i = 0; i < head.length; i++) message[i] = head.charCodeAt(i);
  message.set(text, head.length);
  return ed25519(key.point, message, line.sig.slice(8));
}

/** parseSize reads a number of leaves, or gives null. */
export function parseSize(s) {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(s)) return null;
  const n = BigInt(s);
  return n <= maxSize ? n : null;
}

/** parseCheckpoint reads the text of a checkpoint. */
export function parseCheckpoint(text) {
  const lines = text.split('\n');
  if (lines.pop() !== '' || lines.length < 3) throw new Refusal('text is not three lines or more, each ended by a line feed');
  // SPEC: tlog-checkpoint: at least three non-empty lines; extension lines MUST be non-empty.
  const bad = lines.findIndex((l) => l === '' || l.includes('\r'));
  if (bad >= 0) throw new Refusal(`line ${bad + 1} is empty or has a carriage return`);
  const size = parseSize(lines[1]);
  if (size === null) throw new Refusal('line 2: size is not a decimal without leading zeros below 2^63');
  const root = lines[2].length === 44 ? canonicalBase64(lines[2]) : null;
  if (root === null || root.length !== 32) throw new Refusal('line 3: hash is not 32 bytes in canonical base64');
  return { origin: lines[0], size, root, extensions: lines.slice(3) };
}

/** readNote reads a signed note: its text, and its lines, of which none is verified. */
export function readNote(note) {
  const malformed = () => new Refusal('malformed note');
  // SPEC: signed-note: valid UTF-8 without ASCII control characters below U+0020 other than newline.
  if (/[\x00-\x09\x0b-\x1f]/.test(note) || !isUTF8(note)) throw malformed();
  const end = note.lastIndexOf('\n\n');
  if (end < 0 || end + 2 === note.length || !note.endsWith('\n')) throw malformed();
  const lines = note.slice(end + 2, -1).split('\n').map(noteLine);
  if (lines.length > 100 || lines.includes(null)) throw malformed();
  return { text: note.slice(0, end + 1), lines };
}

/**
 * openNote reads a signed note and verifies the lines of known keys. It gives the text, those lines that verify, and apart
 * from them those of ML-DSA-44, which is not checked here. A line of a known key that does not verify is an error.
 */
export async function openNote(note, known) {
  const { text, lines } = readNote(note);
  const found = { text, verified: [], unchecked: [] };
  const seen = new Set();
  for (const sig of lines) {
    const key = known.find((k) => k.name === sig.name && k.id === sig.id);
    if (key === undefined || seen.has(key)) continue;
    seen.add(key);
    const how = await verifyLine(key, text, sig.sig);
    if (how === 'wrong') throw new Refusal(`invalid signature for key ${sig.name}+${sig.id}`);
    found[how].push({ key, time: sig.sig.length > 8 ? uint64(sig.sig) : 0n });
  }
  if (seen.size === 0) throw new Refusal('note has no verifiable signatures');
  return found;
}

function noteLine(line) {
  const dash = '\xe2\x80\x94 ';
  if (!line.startsWith(dash)) return null;
  const [name, base64] = cut(line.slice(dash.length), ' ');
  const raw = paddedBase64(base64);
  if (raw === null || raw.length < 5 || name === '' || space.test(utf8(name)) || name.includes('+')) return null;
  return { name, id: hexOf(raw.slice(0, 4)), sig: raw.slice(4) };
}

/** verifyLine says verified, wrong or, of ML-DSA-44 that has the right form, unchecked. */
async function verifyLine(key, text, sig) {
  if (key.type === types.ed25519) return (await ed25519(key.point, text, sig)) ? 'verified' : 'wrong';
  if (sig.length <= 8) return 'wrong';
  const time = uint64(sig);
  // SPEC: tlog-witness: the timestamp MUST NOT be zero. SPEC: tlog-cosignature: it MUST NOT exceed 2^63 - 1.
  if (time === 0n || time > maxSize) return 'wrong';
  let c;
  try {
    c = parseCheckpoint(text);
  } catch {
    return 'wrong';
  }
  if (key.type === types.mldsa) {
    const signable = c.extensions.length === 0 && c.origin.length <= maxName && sig.length === 8 + mldsaSignature;
    return signable ? 'unchecked' : 'wrong';
  }
  return (await ed25519(key.point, `cosignature/v1\ntime ${time}\n${text}`, sig.slice(8))) ? 'verified' : 'wrong';
}
