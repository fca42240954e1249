// RFC 6962 trees: that leaves stand in one, and that it extends others, by one proof for all (docs/spec/evidence.md, The tree).

import { digest } from './sha256.mjs';

/**
 * treeOf puts together the tree of n leaves from the leaves that are known, each {index, hash} and ascending, and hashes of what
 * lies between them. sizes, ascending, are those at which somebody wants to know the root. Numbers are BigInts. It gives
 *
 *   roots   the roots at those sizes and at n, by size, as far as hashes were there
 *   wrong   '', or that there are too few hashes or too many
 */
export function treeOf(n, leaves, sizes, hashes) {
  const roots = new Map();
  const stack = []; // perfect trees, the widest first: {hash, width}
  let p = 0n;
  let [leaf, size, used] = [0, 0, 0];
  for (;;) {
    for (; size < sizes.length && sizes[size] === p; size++) roots.set(p, fold(stack));
    if (p === n) break;
    if (leaves[leaf]?.index === p) {
      push(stack, leaves[leaf++].hash, 1n);
      p += 1n;
      continue;
    }
    if (used === hashes.length) return { roots, wrong: `the hashes of the tree end at leaf ${p} of ${n}` };
    const width = gap(p, least(n, leaves[leaf]?.index, sizes[size]));
    push(stack, hashes[used++], width);
    p += width;
  }
  roots.set(n, fold(stack));
  return { roots, wrong: used < hashes.length ? `${hashes.length} hashes of the tree, and it takes ${used}` : '' };
}

const least = (n, ...stops) => stops.reduce((a, b) => (b !== undefined && b < a ? b : a), n);

/** gap is how many leaves the next hash covers: the largest power of two that divides p and ends at the stop or before. */
function gap(p, stop) {
  let width = p & -p;
  if (p === 0n) for (width = 1n; width * 2n <= stop; ) width *= 2n;
  while (p + width > stop) width /= 2n;
  return width;
}

/** push adds a perfect tree, and joins those that are of one width. */
function push(stack, hash, width) {
  for (; stack.at(-1)?.width === width; width *= 2n) hash = node(stack.pop().hash, hash);
  stack.push({ hash, width });
}

/** fold is the root over a stack. SPEC: RFC 6962 2.1: of no leaves it is the hash of nothing. */
const fold = (stack) => (stack.length === 0 ? digest('') : stack.reduceRight((acc, below) => (acc === null ? below.hash : node(below.hash, acc)), null));

const node = (left, right) => digest(`\x01${left}${right}`);

/** leafHash is that of a leaf's bytes. */
export function leafHash(bytes) {
  const b = new Uint8Array(bytes.length + 1);
  b.set(bytes, 1);
  return digest(b);
}
