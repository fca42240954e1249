// Reading a bundle (docs/spec/evidence.md): the files of the archive, in their order and spelling. Nothing here is verified
// but that it is the one form of what it says.

import { content, FormatError, sections } from './archive.mjs';
import { binary, canonicalBase64, hexOf } from './bytes.mjs';
import { limits, originPattern, sessionPattern } from './entry.mjs';

const most = { leaves: 200_000, anchors: 1024, public: 16 * 1024, blobs: 500_000, disclosed: 100_000, sessions: 1024, hashes: 63 };
const maxCheckpoint = 64 << 10;
const maxProof = 128 + most.hashes * 45 + maxCheckpoint;
const maxBlob = 62 + (17 << 20);
const maxDisclosure = 256 << 20;
const maxIndex = 2n ** 63n - 1n;

function sizeLimit(name) {
  const fixed = { 'steno-evidence': 256 + most.sessions * 37, 'README.txt': 64 << 10, trust: 256 << 10, checkpoint: maxCheckpoint };
  if (Object.hasOwn(fixed, name)) return fixed[name];
  const dirs = [['leaf/', limits.leaf], ['proof/', maxProof], ['anchor/', maxCheckpoint], ['public/', maxBlob], ['blob/', maxBlob],
    ['disclosed/', maxDisclosure]];
  return dirs.find(([dir]) => name.startsWith(dir))?.[1] ?? null;
}

/** readBundle reads a Uint8Array. It throws a FormatError that names the first place that is not as in an intact bundle. */
export function readBundle(b) {
  return new Reader(b).read();
}

class Reader {
  constructor(b) {
    this.b = b;
    this.rest = sections(b, sizeLimit, 4 + 2 * most.leaves + 2 * most.anchors + most.public + most.blobs + most.disclosed);
    this.at = 0;
  }

  next(prefix) {
    return this.at < this.rest.length && this.rest[this.at].name.startsWith(prefix);
  }

  /** take reads the next file, which must have this name. */
  take(name) {
    const s = this.rest[this.at];
    if (s === undefined || s.name !== name) throw new FormatError('', s?.offset ?? 0, `file ${name} is missing here`);
    this.at++;
    return { section: s, bytes: content(this.b, s) };
  }

  many(prefix, limit, read) {
    const out = [];
    while (this.next(prefix)) {
      if (out.length === limit) throw new FormatError(this.rest[this.at].name, this.rest[this.at].offset, `more than ${limit}`);
      const one = read.call(this);
      const last = out.at(-1);
      if (last !== undefined && last.order >= one.order) throw new FormatError(one.name, one.offset, 'not in ascending order, each once');
      out.push(one);
    }
    return out;
  }

  read() {
    const out = this.manifest();
    out.readme = this.take('README.txt').bytes;
    out.trust = this.next('trust') ? this.take('trust').bytes : null;
    out.checkpoint = this.take('checkpoint').bytes;
    this.checkpointText = binary(out.checkpoint);
    out.leaves = this.many('leaf/', most.leaves, this.leaf);
    out.anchors = out.old ? [] : this.many('anchor/', most.anchors, this.anchor);
    out.public = out.old ? [] : this.many('public/', most.public, () => this.blob('public/'));
    out.blobs = this.many('blob/', most.blobs, () => this.blob('blob/'));
    out.disclosed = this.many('disclosed/', most.disclosed, this.disclosed);
    const s = this.rest[this.at];
    if (s !== undefined) throw new FormatError(s.name, s.offset, 'a file out of its place');
    return out;
  }

  manifest() {
    const { section, bytes } = this.take('steno-evidence');
    const text = binary(bytes);
    const bad = (why) => {
      throw new FormatError('steno-evidence', section.start, why);
    };
    const lines = text.split('\n');
    const format = lines[0];
    if (lines.pop() !== '' || !['steno/evidence/v2', 'steno/evidence/v1'].includes(format) || lines.length < 3) {
      bad('not "steno/evidence/v2", an origin and sessions');
    }
    const [, origin, ...sessions] = lines;
    if (!originPattern.test(origin)) bad('no origin');
    if (sessions.length > most.sessions) bad(`more than ${most.sessions} sessions`);
    sessions.forEach((s, i) => {
      if (!sessionPattern.test(s) || (i > 0 && sessions[i - 1] >= s)) bad('sessions are not names in ascending order, each once');
    });
    return { old: format === 'steno/evidence/v1', origin, sessions };
  }

  leaf() {
    const s = this.rest[this.at];
    const digits = s.name.slice('leaf/'.length);
    const index = parseIndex(digits);
    if (index === null) throw new FormatError(s.name, s.offset + 30, 'name is not leaf/ and an index of 20 digits');
    const bytes = this.take(s.name).bytes;
    const proof = this.take(`proof/${digits}.tlog-proof`);
    const p = parseProof(binary(proof.bytes));
    if (typeof p === 'string') throw new FormatError(proof.section.name, proof.section.start, p);
    // SPEC: evidence.md: all proofs of a bundle are under its one checkpoint.
    if (p.index !== index || p.checkpoint !== this.checkpointText) {
      throw new FormatError(proof.section.name, proof.section.start, "proof of another leaf, or under another checkpoint than the bundle's");
    }
    return { order: digits, name: s.name, offset: s.offset, index, bytes, hashes: p.hashes };
  }

  /** anchor reads the two files of an anchor: the checkpoint that was stamped, and hashes from it to the bundle's. */
  anchor() {
    const s = this.rest[this.at];
    const digits = s.name.slice('anchor/'.length, -'/note'.length);
    const index = parseIndex(digits);
    if (index === null || !s.name.endsWith('/note')) throw new FormatError(s.name, s.offset + 30, 'name is not anchor/, an index of 20 digits and /note');
    const note = this.take(s.name).bytes;
    const path = this.take(`anchor/${digits}/consistency`);
    const lines = binary(path.bytes).split('\n');
    const hashes = lines.slice(0, -1).map(hashOf);
    if (lines.at(-1) !== '' || hashes.length > most.hashes || hashes.includes(null)) {
      throw new FormatError(path.section.name, path.section.start, 'not hashes of 32 bytes in canonical base64, one a line');
    }
    return { order: digits, name: s.name, offset: s.offset, index, note, hashes };
  }

  /** blob reads a file that is named by a hash. */
  blob(dir) {
    const s = this.rest[this.at++];
    const hex = s.name.slice(dir.length);
    if (!/^[0-9a-f]{64}$/.test(hex)) throw new FormatError(s.name, s.offset + 30, `name is not ${dir} and 64 hexadecimal digits`);
    return { order: hex, name: s.name, offset: s.offset, hex, bytes: content(this.b, s) };
  }

  disclosed() {
    const s = this.rest[this.at++];
    const p = /^disclosed\/([0-9]{20})-([0-9]{3})-([a-z_]+(?:\.[a-z_]+)*)\.json$/.exec(s.name);
    const index = p === null ? null : parseIndex(p[1]);
    if (index === null || Number(p[2]) >= limits.events || p[3].length > 100) {
      throw new FormatError(s.name, s.offset + 30, 'name is not disclosed/INDEX-EVENT-SLOT.json');
    }
    return {
      order: s.name, name: s.name, offset: s.offset, index, event: Number(p[2]), slot: p[3].replaceAll('.', '/'), bytes: content(this.b, s),
    };
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

const proofLine = 'c2sp.org/tlog-proof@v1';

/** parseProof reads a tlog-proof in its one spelling, without extra data; of any other it says what is wrong. */
function parseProof(text) {
  if (text.length > maxProof) return `proof of ${text.length} bytes, at most ${maxProof}`;
  const end = text.indexOf('\n\n');
  if (end < 0) return 'proof has no empty line before a checkpoint';
  const lines = text.slice(0, end).split('\n');
  if (lines[0] !== proofLine || lines.length < 2 || lines.length > 2 + most.hashes) {
    return `proof does not begin with "${proofLine}", an index and at most ${most.hashes} hashes`;
  }
  const number = /^index (0|[1-9][0-9]{0,18})$/.exec(lines[1]);
  if (number === null || BigInt(number[1]) > maxIndex) return 'second line of the proof is not «index N» in decimal without leading zeros';
  const hashes = lines.slice(2).map(hashOf);
  const bad = hashes.indexOf(null);
  if (bad >= 0) return `hash ${bad} of the proof is not 32 bytes in canonical base64`;
  return { index: BigInt(number[1]), hashes, checkpoint: text.slice(end + 2) };
}

/** blobName is how a bundle names the bytes of a hash, a binary string. */
export const blobName = (hash) => `blob/${hexOf(hash)}`;
