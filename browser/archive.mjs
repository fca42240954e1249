// The archive (docs/spec/evidence.md, The file): a zip of which every byte follows from names and contents. Nothing is
// decompressed, for nothing is compressed; no name is a path; and every byte is accounted for.

import { binary } from './bytes.mjs';

const localSize = 30;
const maxName = 200;
const zipDate = 0x21; // 1980-01-01
const max16 = 0xffff;

/** A FormatError says that a file is no bundle, or not in the one spelling of its contents. */
export class FormatError extends Error {
  constructor(file, offset, why) {
    super(why);
    this.file = file;
    this.offset = offset;
  }
}

export const notHere = 'not the byte that stands here in an intact bundle';

/** A Writer appends little-endian numbers. */
class Writer {
  constructor(size) {
    this.b = new Uint8Array(size);
    this.v = new DataView(this.b.buffer);
    this.at = 0;
  }

  u16(...values) {
    for (const n of values) {
      this.v.setUint16(this.at, n, true);
      this.at += 2;
    }
    return this;
  }

  u32(...values) {
    for (const n of values) {
      this.v.setUint32(this.at, n, true);
      this.at += 4;
    }
    return this;
  }

  u64(...values) {
    for (const n of values) this.u32(n % 2 ** 32, Math.floor(n / 2 ** 32));
    return this;
  }

  text(s) {
    for (let i = 0; i < s.length; i++) this.b[this.at++] = s.charCodeAt(i);
    return this;
  }
}

// What local and central header share: flags, method, time, date, CRC-32, both sizes, lengths of name and extra.
const common = (w, m) => w.u16(0, 0, 0, zipDate).u32(m.crc, m.size, m.size).u16(m.name.length, 0);

const localHeader = (m) => common(new Writer(localSize + m.name.length).u32(0x04034b50).u16(10), m).text(m.name).b;

/** ending is the central directory of the members and what closes the archive; at is where it begins. */
function ending(members, at) {
  const count = members.length;
  const size = members.reduce((n, m) => n + 46 + m.name.length, 0);
  const w = new Writer(size + 22 + (count >= max16 ? 76 : 0));
  for (const m of members) {
    common(w.u32(0x02014b50).u16(0x031e, 10), m).u16(0, 0, 0).u32(0o100644 * 65536, m.offset).text(m.name);
  }
  if (count >= max16) {
    w.u32(0x06064b50).u64(44).u16(0x031e, 45).u64(0, count, count, size, at);
    w.u32(0x07064b50, 0).u64(at + size).u32(1);
  }
  const short = Math.min(count, max16);
  return w.u32(0x06054b50, 0).u16(short, short).u32(size, at).u16(0).b;
}

function firstDifference(have, want, at) {
  for (let i = 0; i < want.length; i++) {
    if (have[i] !== want[i]) throw new FormatError('', at + i, notHere);
  }
}

/** closed checks every byte behind the members of an archive, where at is the end of the last. */
export function closed(b, members, at) {
  const want = ending(members, at);
  firstDifference(b.subarray(at), want, at);
  if (b.length !== at + want.length) throw new FormatError('', at + want.length, 'bytes after the end of the archive');
}

/**
 * sectionAt reads the local header at an offset, of which it checks every byte; null says that no more files follow. limit says how large a
 * file may be by its name, or null: no bundle has such a name.
 */
export function sectionAt(b, at, limit) {
  const head = b.subarray(at, at + localSize + maxName);
  const v = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length >= 4 && v.getUint32(0, true) === 0x02014b50 && at > 0) return null;
  if (head.length < localSize) throw new FormatError('', at, "the file ends where a file's header should be");
  const m = { crc: v.getUint32(14, true), size: v.getUint32(18, true), offset: at, name: '' };
  const n = v.getUint16(26, true);
  if (n === 0 || n > maxName || localSize + n > head.length) {
    firstDifference(head, localHeader(m), at);
    throw new FormatError('', at + localSize, 'bytes too many');
  }
  m.name = binary(head.subarray(localSize, localSize + n));
  firstDifference(head, localHeader(m), at);
  const max = limit(m.name);
  if (max === null) throw new FormatError('', at + localSize, "a file's name that no bundle has");
  const start = at + localSize + n;
  const most = Math.min(max, b.length - start);
  if (m.size > most) throw new FormatError(m.name, at + 18, `size of ${m.size} bytes, at most ${most}`);
  return { ...m, start };
}

/** content is that of a file, whose checksum is compared, so that damage is named where it is and not where it tells. */
export function content(b, s) {
  const c = b.subarray(s.start, s.start + s.size);
  if (crc32(c) !== s.crc) throw new FormatError(s.name, s.start, 'the file does not match its checksum');
  return c;
}

let table = null;

function crc32(b) {
  if (table === null) {
    table = new Uint32Array(256);
    for (let i = 0; i < 256; i++) {
      let c = i;
      for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
      table[i] = c >>> 0;
    }
  }
  let c = 0xffffffff;
  for (let i = 0; i < b.length; i++) c = (c >>> 8) ^ table[(c ^ b[i]) & 0xff];
  return ~c >>> 0;
}
