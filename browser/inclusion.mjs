// That the leaves of a bundle stand in the log, and that its checkpoint extends those that were stamped: one proof for all of
// them (docs/spec/evidence.md, The tree), so that there is no telling which leaf does not.

import { binary, compare } from './bytes.mjs';
import { Refusal, parseCheckpoint, readNote } from './keys.mjs';
import { treeOf } from './merkle.mjs';

/** stampedNote reads the checkpoint in an anchor, whoever signed it: {cp, err}, of which one is null. */
export function stampedNote(a) {
  try {
    return { cp: parseCheckpoint(readNote(binary(a.note)).text), err: null };
  } catch (err) {
    if (!(err instanceof Refusal)) throw err;
    return { cp: null, err };
  }
}

/** judgeInclusion fills in roots, the roots of the bundle's tree at the sizes of the stamped checkpoints, and judges the one at the end: proven. */
export function judgeInclusion(v) {
  const { size, root } = v.checkpoint;
  const leaves = v.leaves.filter((l) => l.index < size).map((l) => ({ index: l.index, hash: l.leafHash }));
  const { roots, wrong } = treeOf(size, leaves, stops(v), v.bundle.tree);
  v.roots = roots;
  if (wrong !== '') v.find('inclusion', 'failed', { file: 'tree' }, wrong);
  else if (roots.get(size) !== root) {
    v.find('inclusion', 'failed', { file: 'tree' },
      `the leaves and the hashes here do not lead to the root of the checkpoint of size ${size}: at least one of them is not the log's, and there is no telling which`);
  } else {
    v.proven = true;
    v.pass('inclusion', leaves.length);
  }
}

/** stops are the sizes of stamped checkpoints, ascending. SPEC: evidence.md: one that is of another log or covers its own anchor is none. */
function stops(v) {
  const sizes = new Set();
  for (const a of v.bundle.anchors) {
    const { cp } = stampedNote(a);
    if (cp !== null && cp.origin === v.trust.origin && cp.size <= a.index && cp.size <= v.checkpoint.size) sizes.add(cp.size);
  }
  return [...sizes].sort(compare);
}
