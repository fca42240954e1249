// RFC 6962 trees: that a leaf stands in one, and that one extends another.

import { sha256 } from './crypt.mjs';

/** A Tree remembers what it has hashed: proofs of neighbours share most of their nodes. */
export class Tree {
  constructor() {
    this.nodes = new Map();
  }

  node(left, right) {
    const both = left + right;
    let h = this.nodes.get(both);
    if (h === undefined) {
      h = sha256(`\x01${both}`);
      this.nodes.set(both, h);
    }
    return h;
  }

  /**
   * proves tells whether hashes (from the leaf up, exactly those that this size and index call for) lead from the leaf's hash
   * to the root. Size and index are BigInts. SPEC: RFC 6962 2.1.1.
   */
  async proves(leafHash, hashes, index, size, root) {
    const sides = path(index, size);
    if (sides.length !== hashes.length) return false;
    let h = leafHash;
    for (let i = 0; i < hashes.length; i++) h = await (sides[i] === 'left' ? this.node(h, hashes[i]) : this.node(hashes[i], h));
    return h === root;
  }

  /** extends tells whether hashes prove that the tree of the second size and root extends that of the first. SPEC: RFC 6962 2.1.2. */
  async extends(first, second, firstRoot, secondRoot, hashes) {
    if (second < first) return false;
    if (first === second) return hashes.length === 0 && firstRoot === secondRoot && (first > 0n || firstRoot === (await sha256('')));
    if (first === 0n) return hashes.length === 0 && firstRoot === (await sha256(''));
    // From a power of two the proof does not hold the first root.
    const [start, ...rest] = (first & (first - 1n)) === 0n && hashes.length > 0 ? [firstRoot, ...hashes] : hashes;
    let [fn, sn] = [first - 1n, second - 1n];
    for (; fn & 1n; fn >>= 1n) sn >>= 1n;
    let [one, two] = [start, start];
    for (const h of rest) {
      if (sn === 0n) return false;
      if (fn & 1n || fn === sn) {
        [one, two] = await Promise.all([this.node(h, one), this.node(h, two)]);
        for (; fn !== 0n && !(fn & 1n); fn >>= 1n) sn >>= 1n;
      } else two = await this.node(two, h);
      fn >>= 1n;
      sn >>= 1n;
    }
    return start !== undefined && sn === 0n && one === firstRoot && two === secondRoot;
  }
}

/** leafHash is that of a leaf's bytes. */
export function leafHash(bytes) {
  const b = new Uint8Array(bytes.length + 1);
  b.set(bytes, 1);
  return sha256(b);
}

/** path says, from the leaf up, on which side of its sibling the way to a leaf goes on. */
function path(index, size) {
  const sides = [];
  for (let lo = 0n, hi = size; hi - lo > 1n;) {
    let k = 1n; // the largest power of two below hi - lo
    while (k * 2n < hi - lo) k *= 2n;
    if (index < lo + k) {
      sides.unshift('left');
      hi = lo + k;
    } else {
      sides.unshift('right');
      lo += k;
    }
  }
  return sides;
}
