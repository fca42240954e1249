// DER (X.690), as far as certificates and time-stamp tokens use it: tags of one byte, definite lengths in their one spelling.
// Everything is a binary string, and a slice of what it was read from. What is malformed is thrown as Malformed.

/** Malformed is thrown for what is no DER, or other DER than was asked for. */
export class Malformed extends Error {}

/** Unclear is thrown where something is not wrong, and can't be judged here. */
export class Unclear extends Error {}

export const tags = {
  boolean: 0x01, integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06, utf8: 0x0c, utcTime: 0x17, time: 0x18, sequence: 0x30, set: 0x31,
};

/** tagOf is the context-specific tag of a number, constructed or not. */
export const tagOf = (n, constructed = true) => 0x80 + n + (constructed ? 0x20 : 0);

function demand(ok) {
  if (!ok) throw new Malformed('malformed DER');
}

/** A Der reads the elements of a binary string, one after the other. */
export class Der {
  constructor(bytes) {
    this.left = bytes;
  }

  get empty() {
    return this.left === '';
  }

  /** is tells whether an element of a tag is next. */
  is(tag) {
    return this.left.charCodeAt(0) === tag;
  }

  /** any reads the next element: its tag, its content, and all of it. */
  any() {
    const s = this.left;
    demand(s.length >= 2);
    const tag = s.charCodeAt(0);
    let length = s.charCodeAt(1);
    let header = 2;
    // SPEC: X.690 8.1.2.4: tags from 31 on take more bytes. No certificate or token has one.
    demand((tag & 0x1f) !== 0x1f);
    if (length >= 0x80) {
      const octets = length - 0x80;
      // SPEC: X.690 10.1: the definite form of length encoding shall be used.
      demand(octets >= 1 && octets <= 4 && s.length >= 2 + octets);
      length = 0;
      for (let i = 0; i < octets; i++) length = 256 * length + s.charCodeAt(2 + i);
      // SPEC: X.690 10.1: encoded in the minimum number of octets.
      demand(length >= 0x80 && length >= 256 ** (octets - 1));
      header += octets;
    }
    demand(length <= s.length - header);
    this.left = s.slice(header + length);
    return { tag, content: s.slice(header, header + length), raw: s.slice(0, header + length) };
  }

  one(tag) {
    demand(this.is(tag));
    return this.any();
  }

  /** content reads the content of an element of a tag. */
  content(tag) {
    return this.one(tag).content;
  }

  /** element reads all of an element of a tag. */
  element(tag) {
    return this.one(tag).raw;
  }

  /** open reads an element of a tag, to read what is in it. */
  open(tag) {
    return new Der(this.content(tag));
  }

  /** optional reads the content of an element if it is there, or gives null. */
  optional(tag) {
    return this.is(tag) ? this.content(tag) : null;
  }

  end() {
    demand(this.empty);
  }

  boolean() {
    const b = this.content(tags.boolean);
    // SPEC: X.690 11.1: TRUE is 0xff.
    demand(b === '\0' || b === '\xff');
    return b === '\xff';
  }

  integer(tag = tags.integer) {
    const b = this.content(tag);
    demand(b !== '');
    const first = b.charCodeAt(0);
    // SPEC: X.690 8.3.2: the bits of the first octet and bit 8 of the second shall not all be ones, and not all be zero.
    demand(b.length === 1 || (first !== 0 && first !== 0xff) || (b.charCodeAt(1) >= 0x80) !== (first === 0xff));
    return BigInt.asIntN(8 * b.length, number(b));
  }

  /** int64 reads an integer of at most 64 bits. */
  int64(tag = tags.integer) {
    const n = this.integer(tag);
    demand(BigInt.asIntN(64, n) === n);
    return n;
  }

  octets() {
    return this.content(tags.octets);
  }

  /** oid reads an object identifier, and writes it with dots. Its numbers have at most 31 bits. */
  oid() {
    const b = this.content(tags.oid);
    const arcs = [];
    let n = 0;
    let start = 0;
    for (let i = 0; i < b.length; i++) {
      const c = b.charCodeAt(i);
      // SPEC: X.690 8.19.2: the leading octet of the subidentifier shall not have the value 0x80.
      demand((i > start || c !== 0x80) && n < 2 ** 24);
      n = 128 * n + (c & 0x7f);
      if (c >= 0x80) continue;
      // SPEC: X.690 8.19.4: the first subidentifier is 40 times the first number, which is 0, 1 or 2, and the second.
      if (start === 0) arcs.push(Math.min(2, Math.floor(n / 40)));
      arcs.push(start === 0 ? n - 40 * arcs[0] : n);
      [n, start] = [0, i + 1];
    }
    demand(b !== '' && start === b.length);
    return arcs.join('.');
  }

  /** bits reads a bit string: how many there are, and the bytes that hold them. */
  bits() {
    const b = this.content(tags.bits);
    demand(b !== '');
    const unused = b.charCodeAt(0);
    // SPEC: X.690 8.6.2, 11.2.1: zero to seven, zero if there are no bits; and each unused bit shall be set to zero.
    demand(unused <= 7 && (unused === 0 || (b.length > 1 && (b.charCodeAt(b.length - 1) & ((1 << unused) - 1)) === 0)));
    return { length: 8 * (b.length - 1) - unused, bytes: b.slice(1) };
  }
}

/** number reads bytes as a number, big endian. */
export function number(bytes) {
  let hex = '0x0';
  for (let i = 0; i < bytes.length; i++) hex += bytes.charCodeAt(i).toString(16).padStart(2, '0');
  return BigInt(hex);
}

/** rightAligned moves the bits of a bit string to the end of its bytes. */
export function rightAligned({ length, bytes }) {
  const unused = 8 * bytes.length - length;
  let out = '';
  for (let i = 0; i < bytes.length; i++) out += String.fromCharCode(((((i === 0 ? 0 : bytes.charCodeAt(i - 1)) << 8) + bytes.charCodeAt(i)) >> unused) & 0xff);
  return unused === 0 ? bytes : out;
}

export const second = 1_000_000_000n;

/** instant reads YYYYMMDDhhmmss to nanoseconds since 1970, or gives null. */
export function instant(s) {
  const p = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(s);
  if (p === null) return null;
  const [year, month, day, ...clock] = p.slice(1).map(Number);
  const d = new Date(0);
  d.setUTCFullYear(year, month - 1, day);
  d.setUTCHours(...clock);
  // Numbers that are out of range have become another time.
  return d.toISOString().replace(/[-:T]|\.000Z$/g, '') === s ? BigInt(d.getTime()) * 1_000_000n : null;
}
