// Disclosures (docs/spec/payload.md): segments of a payload, shown with what is needed to check them against the commitment
// that stands in the event. No key takes part.

import { binary, canonicalBase64, isUTF8 } from './bytes.mjs';
import { sha256 } from './crypt.mjs';
import { classes } from './entry.mjs';
import { Refusal } from './keys.mjs';

const most = { segments: 16384, payload: 16 << 20, parts: 64, blob: 62 + (17 << 20) };

/** payloadAt is the payload in an event's value under a path of members, such as "model/parameters". */
export function payloadAt(value, slot) {
  let at = value;
  for (const name of slot.split('/')) at = isObject(at) && Object.hasOwn(at, name) ? at[name] : null;
  if (!isObject(at) || (at.commitment === undefined && at.parts === undefined)) throw new Refusal('the event has no such payload');
  return at;
}

const isObject = (v) => typeof v === 'object' && v !== null && !Array.isArray(v);

/** checkPayload refuses a reference that no sealed payload has. */
function checkPayload(p) {
  const seen = new Set();
  const list = p.parts ?? [p];
  if (p.parts !== undefined && (list.length < 2 || list.length > most.parts)) throw new Refusal(`${list.length} parts, not 2 to ${most.parts}`);
  for (const part of list) {
    if (part.media !== list[0].media) throw new Refusal('a part has another media than part 0');
    part.blobs?.forEach((b, i) => {
      if (i > 0 && classes.indexOf(part.blobs[i - 1].class) >= classes.indexOf(b.class)) throw new Refusal('classes are repeated or out of order');
      // SPEC: payload.md, In an event: no hash MUST occur twice; a size MUST be one that padding can give.
      if (seen.has(b.sha256)) throw new Refusal('two places name one blob');
      seen.add(b.sha256);
      if (b.size > most.blob || b.size - 62 !== padded(b.size - 62)) throw new Refusal(`${b.size} is not the size of a blob`);
    });
    if (!part.blobs?.length) throw new Refusal('no blobs');
  }
  return list;
}

function padded(n) {
  if (n <= 256) return 256;
  const e = Math.floor(Math.log2(n));
  const step = 2 ** (e - Math.floor(Math.log2(e)) - 1);
  return Math.ceil(n / step) * step;
}

/** readDisclosure reads the one form of a disclosure, a Uint8Array. */
function readDisclosure(bytes) {
  const bad = () => new Refusal('disclosure is not well-formed: not in its one form');
  const raw = binary(bytes);
  if (!isUTF8(raw)) throw bad();
  let d;
  try {
    d = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw bad();
  }
  const parts = list(d?.parts)?.map((p) => {
    const shown = list(p?.shown)?.map((s) => ({ index: integer(s?.index), class: text(s?.class), salt: text(s?.salt), bytes: text(s?.bytes) }));
    return { segments: integer(p?.segments), shown, hidden: list(p?.hidden)?.map(text) };
  });
  // SPEC: payload.md, Disclosure: one form, so that nothing unread can hide in one.
  if (JSON.stringify({ format: text(d?.format), parts }) !== raw) throw bad();
  return { format: d.format, parts };
}

const list = (v) => (Array.isArray(v) ? v : undefined);
const text = (v) => (typeof v === 'string' ? v : undefined);
const integer = (v) => (Number.isSafeInteger(v) ? v : undefined);

/**
 * openDisclosure checks a disclosure against the payload in an event, and gives its segments: of each the part, and whether it
 * is known, its class and its bytes, a binary string.
 */
export async function openDisclosure(bytes, payload) {
  const d = readDisclosure(bytes);
  const refs = checkPayload(payload);
  if (d.format !== 'steno/disclosure/v1' || d.parts.length !== refs.length) throw malformed('unknown format or another number of parts');
  const out = [];
  for (let k = 0; k < refs.length; k++) out.push(...(await openPart(d.parts[k], refs[k], k)));
  return { media: refs[0].media, segments: out };
}

const malformed = (words) => new Refusal(`disclosure is not well-formed: ${words}`);

async function openPart(p, ref, part) {
  const n = p.segments;
  if (n < 1 || n > most.segments || p.shown.length > n) throw malformed('number of segments');
  const segments = Array.from({ length: n }, (_, index) => ({ part, index, known: false }));
  const known = new Map();
  const indexes = [];
  let total = 0;
  for (const s of p.shown) {
    const salt = canonicalBase64(s.salt);
    const content = canonicalBase64(s.bytes);
    if (!ref.blobs.some((b) => b.class === s.class)) throw malformed('a class of which the event has no blob');
    if (s.index < 0 || s.index >= n || s.index <= (indexes.at(-1) ?? -1)) throw malformed(`segment ${s.index} of ${n}, or not in ascending order`);
    if (salt?.length !== 16 || content === null || (content === '' && n > 1)) throw malformed(`segment ${s.index}`);
    total += content.length;
    if (total > most.payload) throw malformed(`more than ${most.payload} bytes`);
    indexes.push(s.index);
    segments[s.index] = { part, index: s.index, known: true, class: s.class, bytes: content };
    known.set(`${s.index} ${s.index + 1}`, sha256(`\0${String.fromCharCode(classes.indexOf(s.class) + 1)}${salt}${content}`));
  }
  const spans = covers(0, n, indexes);
  if (spans.length !== p.hidden.length) throw malformed(`${p.hidden.length} hashes of hidden segments, not ${spans.length}`);
  spans.forEach((s, i) => {
    const h = canonicalBase64(p.hidden[i]);
    if (h?.length !== 32) throw malformed('a hash that is none');
    known.set(s.join(' '), h);
  });
  const root = await hashOf(0, n, known);
  const count = new Uint8Array(8);
  new DataView(count.buffer).setBigUint64(0, BigInt(n));
  if ((await sha256(`steno/payload/v1\n${binary(count)}${root}`)) !== canonicalBase64(ref.commitment)) {
    throw new Refusal('segments do not match the commitment');
  }
  return segments;
}

/** split is RFC 6962's: the largest power of two below n, for n > 1. */
const split = (n) => 2 ** Math.floor(Math.log2(n - 1));

/** covers lists the largest subtrees over lo..hi-1 that hold none of the leaves in shown, from left to right. */
function covers(lo, hi, shown) {
  if (shown.length === 0) return [[lo, hi]];
  if (shown.length === hi - lo) return [];
  const mid = lo + split(hi - lo);
  const i = shown.findIndex((s) => s >= mid);
  const cutAt = i < 0 ? shown.length : i;
  return [...covers(lo, mid, shown.slice(0, cutAt)), ...covers(mid, hi, shown.slice(cutAt))];
}

async function hashOf(lo, hi, known) {
  const h = known.get(`${lo} ${hi}`);
  if (h !== undefined) return h;
  const mid = lo + split(hi - lo);
  const [left, right] = await Promise.all([hashOf(lo, mid, known), hashOf(mid, hi, known)]);
  return sha256(`\x01${left}${right}`);
}
