// Reading a bundle (docs/spec/evidence.md): the files of the archive, in their order and spelling. Nothing here is verified
// but that it is the one form of what it says.

import { closed, content, FormatError, notHere, sectionAt } from './archive.mjs';
import { binary, canonicalBase64, cut } from './bytes.mjs';
import { limits, originPattern, sessionPattern } from './entry.mjs';

const most = { leaves: 200_000, hashes: 4_194_304, anchors: 1024, public: 16 * 1024, blobs: 500_000, disclosed: 500_000, sessions: 1024 };
const format = 'steno/evidence/v3';
const hashLine = 45; // bytes of a hash in base64 and its line feed
const maxCheckpoint = 64 << 10;
const maxBlob = 62 + (17 << 20);
const maxDisclosure = 256 << 20;
const maxIndex = 2n ** 63n - 1n;
const fixed = {
  'steno-evidence': 512 + most.sessions * 45, 'README.txt': 64 << 10, 'report.html': 16 << 20, custody: 16 << 10, trust: 256 << 10,
  checkpoint: maxCheckpoint, tree: most.hashes * hashLine,
};

function sizeLimit(name) {
  if (Object.hasOwn(fixed, name)) return fixed[name];
  const dirs = [['leaf/', limits.leaf], ['anchor/', maxCheckpoint], ['public/', maxBlob], ['blob/', maxBlob], ['disclosed/', maxDisclosure]];
  return dirs.find(([dir]) => name.startsWith(dir))?.[1] ?? null;
}

/** readBundle reads a Uint8Array. It throws a FormatError that names the first place that is not as in an intact bundle. */
export function readBundle(b) {
  return new Reader(b).read();
}

/** A Reader takes files in the order in which a bundle has them. */
class Reader {
  constructor(b) {
    this.b = b;
    this.members = []; // those before the one whose turn it is
    this.look(0);
  }

  /** look finds the file whose turn it is, at an offset; null behind the last. */
  look(at) {
    this.at = at;
    this.here = sectionAt(this.b, at, sizeLimit);
  }

  /** pass goes on to the next file. */
  pass() {
    const s = this.here;
    this.members.push(s);
    this.look(s.start + s.size);
  }

  /** bytes are the content of the file whose turn it is. */
  bytes() {
    return content(this.b, this.here);
  }

  /** named demands that the next file has this name. */
  named(name) {
    if (this.here?.name !== name) throw new FormatError('', this.at, `file ${name} is missing here`);
    return this.here;
  }

  /** take reads the next file, which must have this name, and goes on. */
  take(name) {
    const section = this.named(name);
    const bytes = this.bytes();
    this.pass();
    return { section, bytes };
  }

  /** many takes the files of a directory. */
  many(dir, max, what, read) {
    const out = [];
    for (; this.here?.name.startsWith(dir); this.pass()) {
      if (out.length === max) throw new FormatError(this.here.name, this.at, `more than ${max} ${what}`);
      out.push(read.call(this, this.here));
    }
    return out;
  }

  /** maybe takes a file that can be left out. */
  maybe(name) {
    return this.here?.name === name ? this.take(name).bytes : null;
  }

  read() {
    const out = this.manifest();
    out.readme = this.take('README.txt').bytes;
    out.html = this.maybe('report.html');
    out.custody = this.maybe('custody');
    out.trust = this.maybe('trust');
    out.checkpoint = this.take('checkpoint').bytes;
    out.tree = this.tree();
    out.leaves = this.many('leaf/', most.leaves, 'leaves', this.leaf);
    out.anchors = this.many('anchor/', most.anchors, 'anchors', this.anchor);
    out.public = this.many('public/', most.public, 'public blobs', this.blob);
    out.blobs = this.many('blob/', most.blobs, 'blobs', this.blob);
    out.disclosed = this.many('disclosed/', most.disclosed, 'disclosures', this.disclosed);
    if (this.here !== null) throw new FormatError(this.here.name, this.at, 'a file out of its place');
    closed(this.b, this.members, this.at);
    const wrong = checkManifest(out) || checkOrder(out);
    if (wrong !== '') throw new FormatError('', 0, wrong);
    return out;
  }

  manifest() {
    const { section, bytes } = this.take('steno-evidence');
    const text = binary(bytes);
    const out = readManifest(text);
    if (typeof out === 'string') throw new FormatError('steno-evidence', section.start, out);
    const again = written(out);
    const at = Array.from(again).findIndex((c, i) => c !== text[i]);
    if (at >= 0) throw new FormatError('steno-evidence', section.start + at, notHere);
    if (again.length !== text.length) throw new FormatError('steno-evidence', section.start + again.length, 'bytes too many');
    return out;
  }

  tree() {
    const section = this.named('tree');
    const bytes = this.bytes();
    const hashes = [];
    for (let at = 0; at < bytes.length; at += hashLine) {
      const h = bytes[at + hashLine - 1] === 0x0a ? hashOf(binary(bytes.subarray(at, at + hashLine - 1))) : null;
      if (h === null) throw new FormatError('tree', section.start + at, 'not a hash of 32 bytes in canonical base64 and a line feed');
      hashes.push(h);
    }
    this.pass();
    return hashes;
  }

  /** indexed is a file that is named by the index of a leaf. */
  indexed(s, dir) {
    const digits = s.name.slice(dir.length);
    const index = parseIndex(digits);
    if (index === null) throw new FormatError(s.name, s.offset + 30, `name is not ${dir} and an index of 20 digits`);
    return { order: digits, name: s.name, offset: s.offset, index, bytes: this.bytes() };
  }

  leaf(s) {
    return this.indexed(s, 'leaf/');
  }

  /** anchor reads the checkpoint that was stamped. */
  anchor(s) {
    const { bytes, ...a } = this.indexed(s, 'anchor/');
    return { ...a, note: bytes };
  }

  /** blob reads a file that is named by a hash. */
  blob(s) {
    const [dir, hex] = cut(s.name, '/');
    if (!/^[0-9a-f]{64}$/.test(hex)) throw new FormatError(s.name, s.offset + 30, `name is not ${dir}/ and 64 lower-case hexadecimal digits`);
    return { order: hex, name: s.name, offset: s.offset, hex, bytes: this.bytes() };
  }

  disclosed(s) {
    const p = /^disclosed\/([0-9]{20})-([0-9]{3})-([^/]*)\.json$/.exec(s.name);
    const index = p === null ? null : parseIndex(p[1]);
    if (index === null) throw new FormatError(s.name, s.offset + 30, 'name is not disclosed/INDEX-EVENT-SLOT.json');
    return { order: s.name, name: s.name, offset: s.offset, index, event: Number(p[2]), slot: p[3].replaceAll('.', '/'), bytes: this.bytes() };
  }
}

function parseIndex(digits) {
  if (!/^[0-9]{20}$/.test(digits)) return null;
  const n = BigInt(digits);
  return n <= maxIndex ? n : null;
}

/** hashOf reads a hash in canonical base64, or gives null. */
function hashOf(line) {
  const h = line.length === 44 ? canonicalBase64(line) : null;
  return h?.length === 32 ? h : null;
}

/** readManifest takes what a manifest says, or tells what is wrong. That it says it in its one spelling is seen by writing it again. */
function readManifest(text) {
  const lines = text.replace(/\n$/, '').split('\n');
  if (/^steno\/evidence\/v[12]$/.test(lines[0])) return `${lines[0]}: made by a version before the first release; export it again`;
  if (lines[0].startsWith('steno/evidence/v') && lines[0] !== format) return `of a format that this verifier does not know, which is ${format}`;
  if (lines[0] !== format) return `does not begin with "${format}"`;
  if (lines.length < 2) return 'no origin';
  const out = { origin: lines[1], sessions: [], range: null, pending: [] };
  for (const line of lines.slice(2)) {
    const [word, value] = cut(line, ' ');
    if (word === 'session') out.sessions.push(value);
    else if (word === 'pending') out.pending.push(value);
    else if (word === 'range') {
      const [from, to] = cut(value, ' ');
      if (![from, to].every((n) => /^[0-9]{1,1000}$/.test(n) && BigInt(n) < 2n ** 64n)) return 'range is not FROM and TO in decimal';
      out.range = { from: BigInt(from), to: BigInt(to) };
    } else return 'line begins with none of session, range, pending';
  }
  return out;
}

function written(m) {
  const range = m.range === null ? '' : `range ${m.range.from} ${m.range.to}\n`;
  return `${format}\n${m.origin}\n${m.sessions.map((s) => `session ${s}\n`).join('')}${range}${m.pending.map((p) => `pending ${p}\n`).join('')}`;
}

/** checkManifest says what is wrong with what a manifest says, or ''. */
function checkManifest({ origin, sessions, range, pending }) {
  if (!originPattern.test(origin)) return 'no origin';
  if ((sessions.length === 0 && range === null) || sessions.length > most.sessions) return `${sessions.length} sessions, 1 to ${most.sessions} are allowed`;
  for (const [i, s] of sessions.entries()) {
    if (!sessionPattern.test(s)) return `session ${i}: not a session's name`;
    if (i > 0 && sessions[i - 1] >= s) return `session ${i}: not in ascending order, each once`;
  }
  if (range !== null && (range.from >= range.to || range.to > maxIndex)) return `range from ${range.from} to ${range.to}: not ascending, or more than a log can have`;
  if (!pending.every((p, i) => (p === 'time' && i === 0) || (p === 'witnesses' && pending[i - 1] !== p))) return 'pending is not of time, witnesses, in this order, each once';
  return '';
}

const hasPlace = (d) => d.event < limits.events && d.slot.length <= 100 && /^[a-z_]+(?:\/[a-z_]+)*$/.test(d.slot);

function checkOrder(b) {
  const all = [
    [b.leaves, (l) => `leaf ${l.index}`], [b.anchors, (a) => `anchor ${a.index}`], [b.public, (p) => `public blob ${p.hex}`], [b.blobs, (s) => `blob ${s.hex}`],
    [b.disclosed, (d) => `disclosure of leaf ${d.index}`],
  ];
  for (const [rows, what] of all) {
    for (let i = 0; i < rows.length; i++) {
      if (rows === b.disclosed && !hasPlace(rows[i])) return `${what(rows[i])}: no event or slot`;
      if (i > 0 && rows[i - 1].order >= rows[i].order) return `${what(rows[i])}: not in ascending order, each once`;
    }
  }
  return '';
}
