// What is here of the log's own sessions.

import { compare } from './bytes.mjs';
import { next, zeroHash } from './session.mjs';

/** A SystemTrack is what is here of a system session: some of its entries. */
export class SystemTrack {
  constructor() {
    this.points = []; // by sequence number
  }

  /** add puts an entry into its place. It tells whether it was there already, and what is wrong with it. */
  add(l) {
    const e = l.entry;
    const p = { seq: e.seq, next: next(e), hash: l.hash, prev: e.prev };
    let lo = 0;
    for (let hi = this.points.length; lo < hi;) {
      const mid = (lo + hi) >> 1;
      if (compare(this.points[mid].seq, p.seq) < 0) lo = mid + 1;
      else hi = mid;
    }
    const before = this.points[lo - 1] ?? { next: 0, hash: zeroHash };
    const after = this.points[lo];
    const taken = after?.seq === p.seq;
    if (taken && after.hash === p.hash) return [true, ''];
    if (taken || before.next > p.seq || (after && p.next > after.seq)) {
      return [false, 'equivocation: the log has signed two texts for one sequence number of its own'];
    }
    if ((before.next === p.seq && before.hash !== p.prev) || (after && p.next === after.seq && p.hash !== after.prev)) {
      return [false, "previous hash is not that of the entry before in the log's own session"];
    }
    this.points.splice(lo, 0, p);
    return [false, ''];
  }
}
