// RFC 6962 trees: that a leaf stands in one.

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
