// Whether the clocks by which sessions are bound can all be right: see package evidence, clocks.go. Times are nanoseconds since 1970.

import { lastSecond } from './checkpoint.mjs';
import { second } from './der.mjs';

const tolerance = 60n * second;

export const notBefore = (s) => s.token.time - s.token.accuracy;
export const notAfter = (s) => s.token.time + s.token.accuracy;

/**
 * tokenWord is what a token says: at which leaf it stands, below which it covers all, and when it was that this existed. quorumWord is that
 * of a quorum of witnesses, whose time is in seconds, and whose checkpoint stands in no leaf if index is null.
 */
export const tokenWord = (s) => ({ index: s.report.index, size: s.report.size, authority: s.report.authority, from: notBefore(s), to: notAfter(s) });
export function quorumWord({ index, size }, time) {
  const at = (time < lastSecond ? time : lastSecond) * second;
  return { index: index ?? Infinity, size, authority: null, from: at, to: at };
}

/** precedes tells whether it is proven that a was there before b was made. */
const precedes = (a, b) => a.index < b.size || (a.index === b.index && a.authority === null && b.authority !== null);

/** contradicted finds two words, one of either list, that can't both be right, or gives null. */
function contradicted(words, others) {
  for (const w of words) {
    let [first, then] = [null, null];
    for (const o of others) {
      if (precedes(w, o) && w.from > o.to + tolerance) then = then === null || o.to < then.to ? o : then;
      else if (precedes(o, w) && o.from > w.to + tolerance) first = first === null || o.from > first.from ? o : first;
    }
    if (then !== null) return pair(w, then);
    if (first !== null) return pair(first, w);
  }
  return null;
}

/** contradiction is what speaks against one of the clocks that bound a session, by lower and upper, or null; all are the words that count. */
export const contradiction = (lower, upper, all) => contradicted(lower, upper) ?? contradicted(lower, all) ?? contradicted(upper, all);

const pair = (first, then) => ({ not_before: reported(first, first.from), not_after: reported(then, then.to) });

const reported = (w, time) => (w.authority === null ? { time: instant(time), size: w.size }
  : { time: instant(time), authority: w.authority, anchor_index: w.index, size: w.size });

/** contradictionText says it in words. */
export function contradictionText({ not_before: first, not_after: then }) {
  return `${who(first)} says not before ${first.time}, and ${who(then)}, which came after it, says not after ${then.time}: one of these clocks is wrong, `
    + 'this file does not tell which, and no bracket here is to be relied on alone';
}

const who = (w) => (w.authority === undefined ? `the quorum of witnesses on the checkpoint of size ${w.size}` : `the token of ${w.authority} at log index ${w.anchor_index}`);

/** instant writes a time in UTC (RFC 3339), with as many digits as it has. */
export function instant(t) {
  const whole = (t - (((t % second) + second) % second)) / second;
  const digits = String(t - whole * second).padStart(9, '0').replace(/0+$/, '');
  return new Date(Number(whole) * 1000).toISOString().replace('.000Z', digits === '' ? 'Z' : `.${digits}Z`);
}
