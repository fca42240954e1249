// Reading steno entries (docs/spec/entry.md) in plain JavaScript: a second reader, written from the specification and driven
// by the published JSON Schema, so that what one implementation accepts can be held against the other. It runs in Node and in
// a browser, and needs nothing.
//
// Bytes are handled as binary strings, so that offsets and prefixes mean what they mean in the entry.

import { binary, canonicalBase64, hexOf, isUTF8, uint64, utf8 } from './bytes.mjs';

export const limits = { text: 8192, leaf: 9216, events: 128, origin: 128, textMember: 4096 };
export const originPattern = /^[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}$/;
export const sessionPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const maxInteger = 2n ** 53n - 1n;
const lastMicrosecond = 253402300799999999n; // of the year 9999
export const classes = ['content', 'personal', 'secret', 'directory'];
export const idPattern = /^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}$/;

/** An EntryError has the code that docs/spec/errors.md lists. */
export class EntryError extends Error {
  constructor(code, offset, detail) {
    super(`${code}: ${detail} (byte ${offset})`);
    this.code = code;
    this.offset = offset;
    this.detail = `${detail} (${code})`;
  }
}

/** fail refuses. */
export const fail = (code, offset, detail) => {
  throw new EntryError(code, offset, detail);
};

/** grammar compiles the JSON Schema: a map from type of event to its members. */
export function grammar(schema) {
  const events = new Map();
  for (const s of schema.oneOf) events.set(s.properties.event.const, s);
  const names = new Map([...schema.oneOf, ...Object.values(schema.$defs)].map((s) => [s, new Set(Object.keys(s.properties ?? {}))]));
  const patterns = new Map(['id', 'uuid'].map((kind) => [kind, new RegExp(schema.$defs[kind].pattern)]));
  return { events, names, patterns, defs: schema.$defs };
}

/** parse reads a leaf (signatures = 2) or a submission (signatures = 1) from a Uint8Array. It verifies no signature. */
export function parse(bytes, g, signatures = 2) {
  if (bytes.length > limits.leaf) fail('oversize', 0, `entry of ${bytes.length} bytes`);
  const b = binary(bytes);
  checkBytes(bytes, b);
  const end = b.indexOf('\n\n');
  if (end < 0) fail('missing-signature', b.length, 'no empty line');
  const text = b.slice(0, end + 1);
  if (text.length > limits.text) fail('oversize', limits.text, `text of ${text.length} bytes`);
  const entry = readHeader(text);
  entry.bytes = bytes.subarray(0, text.length);
  readEvents(entry, text, g);
  readSignatures(entry, b, end + 2, signatures);
  return entry;
}

function checkBytes(bytes, b) {
  for (let i = 0; i < b.length; i++) {
    const c = bytes[i];
    if ((c >= 0x20 && c !== 0x7f) || c === 0x0a) continue;
    fail(c === 0x0d ? 'carriage-return' : 'control-character', i, `byte ${c}`);
  }
  if (!isUTF8(b)) fail('invalid-utf8', 0, 'not UTF-8');
}

function readHeader(text) {
  const lines = [];
  const starts = [];
  let at = 0;
  for (let i = 0; i < 5; i++) {
    const n = text.indexOf('\n', at);
    if (n < 0) fail('bad-header', at, `header of ${i} lines`);
    lines.push(text.slice(at, n));
    starts.push(at);
    at = n + 1;
  }
  if (lines[0] !== 'steno/entry/v1') fail('unknown-version', 0, 'first line');
  if (!originPattern.test(lines[1])) fail('bad-header', starts[1], 'origin');
  if (!sessionPattern.test(lines[2].slice(0, 36)) || !/^\/[a-z0-9][a-z0-9-]{0,31}$/.test(lines[2].slice(36))) {
    fail('bad-header', starts[2], 'session and track');
  }
  const seq = decimal(lines[3]);
  if (seq === null) fail('bad-header', starts[3], 'sequence number');
  if (!isHash(lines[4])) fail('base64', starts[4], 'previous hash');
  return {
    origin: lines[1], session: lines[2].slice(0, 36), track: lines[2].slice(37), seq: Number(seq), prev: lines[4],
    text, body: at, events: [], blobs: [],
  };
}

function decimal(s) {
  if (!/^(0|[1-9][0-9]{0,15})$/.test(s)) return null;
  const n = BigInt(s);
  return n <= maxInteger ? n : null;
}

export const isHash = (s) => s.length === 44 && canonicalBase64(s) !== null && /^[^=]{43}=$/.test(s);

/** isTime tells whether a string is a time in its one form. */
export function isTime(s) {
  const p = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z$/.exec(s);
  if (p === null) return false;
  const [year, month, day, hour, minute, second] = p.slice(1, 7).map(Number);
  if (year < 1970 || hour > 23 || minute > 59 || second > 59) return false;
  const d = new Date(Date.UTC(year, month - 1, day));
  return d.getUTCFullYear() === year && d.getUTCMonth() === month - 1 && d.getUTCDate() === day;
}

function readEvents(entry, text, g) {
  let at = entry.body;
  if (at === text.length) fail('no-events', at, 'no events');
  while (at < text.length) {
    if (entry.events.length === limits.events) fail('too-many', at, 'events');
    const n = text.indexOf('\n', at);
    new Scanner(text.slice(0, n), at, g, entry).event();
    at = n + 1;
  }
  if (BigInt(entry.seq) > maxInteger - BigInt(entry.events.length)) fail('integer-range', 0, 'last sequence number');
  checkPlaces(entry, g);
}

const openers = { main: 'session.open', log: 'system.open' };

function checkPlaces(entry, g) {
  const opener = openers[entry.track] ?? 'track.open';
  entry.events.forEach(({ type }, i) => {
    const place = g.events.get(type)['x-place'];
    const system = entry.track === 'log';
    if (place !== 'both' && system !== (place === 'system')) fail('misplaced-event', 0, `${type} on ${entry.track}`);
    if ((type === opener) !== (entry.seq + i === 0)) fail('misplaced-event', 0, `${type} at ${entry.seq + i}`);
    if ((type === 'track.open' && entry.track === 'main') || (type === 'session.open' && entry.track !== 'main')) {
      fail('misplaced-event', 0, `${type} on ${entry.track}`);
    }
    const ends = type === 'session.close' || type === 'system.close';
    if (ends && (i !== entry.events.length - 1 || (type === 'session.close' && entry.track !== 'main'))) {
      fail('misplaced-event', 0, `${type} is not last`);
    }
  });
}

/** A Scanner reads one event line, which ends where b ends. */
class Scanner {
  constructor(b, at, g, entry) {
    Object.assign(this, { b, i: at, start: at, g, entry, path: [], slot: '', part: -1 });
  }

  fail(code, detail) {
    fail(code, this.i, `${detail}, event ${this.entry.events.length}, member ${this.path.join('.')}`);
  }

  literal(want, code) {
    if (this.b.startsWith(want, this.i)) {
      this.i += want.length;
      return;
    }
    if (this.b[this.i] === ' ' || this.b[this.i] === '\t') this.fail('white-space', 'white space outside a string');
    this.fail(code, `${want} expected`);
  }

  event() {
    this.literal('{"event":"', 'syntax');
    const n = this.b.indexOf('"', this.i);
    if (n < 0) this.fail('syntax', 'type does not end');
    const type = this.b.slice(this.i, n);
    const def = this.g.events.get(type);
    if (def === undefined) this.fail('unknown-event', 'unknown type');
    this.i = n + 1;
    this.literal(',"time":"', 'syntax');
    const time = this.plainString();
    if (!isTime(time)) this.fail('bad-value', 'time');
    this.members(def, false, true);
    if (this.i !== this.b.length) this.fail('trailing-bytes', 'bytes after the event');
    this.entry.events.push({ type, time, raw: this.b.slice(this.start) });
  }

  /** members reads up to and with the closing brace. At the top, event and time have been read and may not come again. */
  members(def, first, top) {
    const seen = new Map();
    for (;;) {
      if (this.b[this.i] === '}') {
        this.i++;
        break;
      }
      if (!first) this.literal(',', 'syntax');
      first = false;
      const name = this.memberName(def, seen, top);
      const from = this.i;
      this.value(name, def.properties[name]);
      seen.set(name, this.b.slice(from, this.i));
      this.path.pop();
    }
    this.checkMembers(def, seen, top);
    if (def === this.g.defs.Blob) this.noteBlob(seen);
  }

  memberName(def, seen, top) {
    this.literal('"', 'syntax');
    const n = this.b.indexOf('"', this.i);
    if (n < 0) this.fail('syntax', 'name does not end');
    const name = this.b.slice(this.i, n);
    const known = (k) => this.g.names.get(def).has(k) && !(top && (k === 'event' || k === 'time'));
    if (!known(name)) {
      const folded = fold(utf8(name));
      if ([...this.g.names.get(def)].some((k) => known(k) && fold(k) === folded)) this.fail('case-variant-member', 'name differs in case only');
      this.fail('unknown-member', 'unknown member');
    }
    this.path.push(name);
    if (seen.has(name)) this.fail('duplicate-member', 'member appears twice');
    this.i = n + 1;
    this.literal(':', 'syntax');
    return name;
  }

  checkMembers(def, seen, top) {
    for (const name of def.required) {
      if (!(top && (name === 'event' || name === 'time')) && !seen.has(name)) this.fail('missing-member', name);
    }
    for (const rule of def.allOf ?? []) {
      const n = rule.oneOf.filter((o) => seen.has(o.required[0])).length;
      if (n === 0) this.fail('missing-member', 'one of several');
      if (n > 1) this.fail('conflicting-members', 'members exclude each other');
    }
    for (const [name, needs] of Object.entries(def.dependentRequired ?? {})) {
      if (seen.has(name) && needs.some((k) => !seen.has(k))) this.fail('missing-member', `with ${name}`);
    }
  }

  value(name, s) {
    const isPayload = s.$ref === '#/$defs/Payload';
    if (isPayload) {
      this.slot = this.path.join('/');
      this.part = -1;
    }
    if (s.type !== 'array') return this.scalar(s);
    this.literal('[', 'wrong-type');
    for (let n = 0; ; n++) {
      if (this.b[this.i] === ']') {
        this.i++;
        if (n < s.minItems) this.fail('bad-value', 'empty list');
        return;
      }
      if (n === s.maxItems) this.fail('too-many', 'list');
      if (n > 0) this.literal(',', 'syntax');
      if (s.items.$ref === '#/$defs/FlatPayload') this.part = n;
      this.scalar(s.items);
    }
  }

  scalar(s) {
    const kind = s.$ref?.replace('#/$defs/', '');
    if (kind !== undefined && this.g.defs[kind].type === 'object') {
      this.literal('{', 'wrong-type');
      return this.members(this.g.defs[kind], true, false);
    }
    if (s.const === true) return this.literal('true', 'wrong-type');
    if (s.type === 'integer') return this.integer(s);
    if (kind === 'text') return this.text();
    this.literal('"', 'wrong-type');
    const v = this.plainString();
    if (kind === 'hash' && !isHash(v)) this.fail('base64', 'not 32 bytes in canonical base64');
    if (kind === 'time' && !isTime(v)) this.fail('bad-value', 'time');
    if (s.enum !== undefined && !s.enum.includes(v)) this.fail('bad-value', 'not of the vocabulary');
    if ((kind === 'id' || kind === 'uuid') && !this.g.patterns.get(kind).test(v)) this.fail('bad-value', kind);
  }

  plainString() {
    const from = this.i;
    for (; this.i < this.b.length; this.i++) {
      const c = this.b[this.i];
      if (c === '"') return this.b.slice(from, this.i++);
      if (c === '\\') this.escapeError();
    }
    return this.fail('syntax', 'string does not end');
  }

  text() {
    this.literal('"', 'wrong-type');
    const from = this.i;
    for (let n = 0; this.i < this.b.length; this.i++) {
      const c = this.b[this.i];
      if (c === '"') {
        if (this.i === from) this.fail('bad-value', 'empty text');
        this.i++;
        return;
      }
      if (c === '\\') {
        if (!['n', '"', '\\'].includes(this.b[this.i + 1])) this.escapeError();
        this.i++;
      }
      if (++n > limits.textMember) this.fail('oversize', 'text');
    }
    this.fail('syntax', 'string does not end');
  }

  escapeError() {
    const rest = this.b.slice(this.i, this.i + 12).toLowerCase();
    const surrogate = (r, digits) => r.startsWith('\\ud') && r.length >= 6 && digits.includes(r[3]);
    if (surrogate(rest, 'cdef') || (surrogate(rest, '89ab') && !surrogate(rest.slice(6), 'cdef'))) {
      this.fail('lone-surrogate', 'half of a surrogate pair');
    }
    this.fail('escape', 'escape not allowed here');
  }

  integer(s) {
    const [all, minus, digits] = /^(-?)([0-9]*)/.exec(this.b.slice(this.i));
    const next = this.b[this.i + all.length];
    if (digits === '') this.fail('wrong-type', 'not an integer');
    if (next === '.' || next === 'e' || next === 'E') this.fail('float', 'a float');
    if (digits.length > 1 && digits[0] === '0') this.fail('bad-value', 'leading zero');
    const v = decimal(digits);
    if (v === null) this.fail('integer-range', 'beyond 2^53-1');
    if (minus !== '' && v === 0n) this.fail('negative-zero', 'minus zero');
    if (minus !== '' && s.minimum >= 0) this.fail('integer-range', 'negative');
    if (s.minimum >= 0 && (v < BigInt(s.minimum) || v > BigInt(s.maximum))) this.fail('bad-value', 'outside its range');
    this.i += all.length;
  }

  noteBlob(seen) {
    const plain = (name) => seen.get(name).replaceAll('"', '');
    const blob = {
      event: this.entry.events.length, slot: this.part >= 0 ? `${this.slot}.${this.part}` : this.slot,
      class: plain('class'), sha256: plain('sha256'), size: Number(seen.get('size')),
    };
    const last = this.entry.blobs.at(-1);
    if (last !== undefined && last.event === blob.event && last.slot === blob.slot &&
        classes.indexOf(last.class) >= classes.indexOf(blob.class)) {
      this.fail('bad-value', 'order of blobs');
    }
    this.entry.blobs.push(blob);
  }
}

// Of all characters beyond ASCII, only the long s and the Kelvin sign fold to ASCII letters.
const fold = (s) => s.replaceAll('\u017f', 's').replaceAll('\u212a', 'k').replace(/[A-Z]/g, (c) => c.toLowerCase());

function readSignatures(entry, b, at, want) {
  for (let i = 0; ; i++) {
    if (at === b.length) {
      if (i === want) return;
      fail('missing-signature', at, `${i} signature lines`);
    }
    if (i === want) fail('extra-signature', at, 'bytes after the last signature line');
    const n = b.indexOf('\n', at);
    if (n < 0) fail('bad-signature-line', at, 'no line feed');
    const sig = parseSignatureLine(b.slice(at, n), i === 1 ? 72 : 64, at);
    if ((sig.name === `${entry.origin}/received`) !== (i === 1)) fail('bad-signature-line', at, 'not in this place');
    if (i === 1) {
      sig.time = uint64(sig.sig);
      if (sig.time > lastMicrosecond) fail('bad-signature-line', at, 'time of receipt');
    }
    entry[i === 0 ? 'recorder' : 'received'] = sig;
    at = n + 1;
  }
}

export const keyName = /^[!-*,-~]{1,160}$/;

/** parseSignatureLine reads a line without its line feed; the signature has size bytes beside the key ID. */
export function parseSignatureLine(line, size, at) {
  const dash = '\xe2\x80\x94 ';
  if (!line.startsWith(dash)) fail('bad-signature-line', at, 'no em dash');
  const cut = line.indexOf(' ', dash.length);
  const name = cut < 0 ? '' : line.slice(dash.length, cut);
  if (!keyName.test(name)) fail('bad-signature-line', at, "key's name");
  const raw = canonicalBase64(line.slice(cut + 1));
  if (raw === null) fail('base64', at, 'signature');
  if (raw.length !== 4 + size) fail('bad-signature-line', at, 'length');
  return { name, id: hexOf(raw.slice(0, 4)), sig: raw.slice(4) };
}
