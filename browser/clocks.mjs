// Whether the clocks by which sessions are bound can all be right: see package evidence, clocks.go. Times are nanoseconds since 1970.

import { compare } from './bytes.mjs';
import { lastSecond } from './checkpoint.mjs';
import { second } from './der.mjs';

const tolerance = 60n * second;

export const notBefore = (s) => s.token.time - s.token.accuracy;
export const notAfter = (s) => s.token.time + s.token.accuracy;

/**
 * tokenWord is what a token says: at which leaf it stands, below which it covers all, and when it was that this existed. quorumWord is that
 * of a quorum of witnesses, whose times are in seconds, and whose checkpoint stands in no leaf if index is null.
 */
export const tokenWord = (s) => ({ index: s.report.index, size: s.report.size, authority: s.report.authority, from: notBefore(s), to: notAfter(s), keys: s.token.keys });
export function quorumWord({ index, size }, seconds) {
  const at = (time) => (time < lastSecond ? time : lastSecond) * second;
  return { index: index ?? Infinity, size, authority: null, from: at(seconds.since), to: at(seconds.until), seconds };
}

const isToken = (w) => w.authority !== null;

/** oneVoice tells whether two tokens hang on one key: whoever holds that could have made the two. */
const oneVoice = (a, b) => a.authority === b.authority || a.keys.some((k) => b.keys.includes(k));

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

/** Words are all that clocks say. What it costs to find what contradicts a word is spent once for each, however many sessions are bound by it. */
export class Words {
  constructor(all) {
    this.all = all;
    this.tokens = all.filter(isToken).sort((a, b) => compare(a.to, b.to)); // those that bound the earliest first
    this.quorums = all.filter((w) => !isToken(w));
    this.against = new Map();
  }

  /** bounds are what the brackets of leaves from first to last rest on. */
  bounds(first, last) {
    const out = { below: null, covering: [], after: null, before: null };
    for (const w of this.all) if (isToken(w) && w.index < first && (out.below === null || w.from > out.below.from)) out.below = w;
    for (const w of this.tokens) if (w.size > last && !out.covering.some((o) => oneVoice(o, w))) out.covering.push(w);
    // The anchors' leaves hold the hash of what witnesses signed: what stands above was logged after it.
    for (const w of this.quorums) {
      if (w.index < first && (out.after === null || w.seconds.since > out.after.seconds.since)) out.after = w;
      else if (w.size > last && (out.before === null || w.seconds.until < out.before.seconds.until)) out.before = w;
    }
    return out;
  }

  /** contradiction is what speaks against one of some bounds, or null. */
  contradiction({ lower, upper }) {
    const found = contradicted(lower, upper);
    if (found !== null) return found;
    for (const w of [...lower, ...upper]) {
      if (!this.against.has(w)) this.against.set(w, contradicted([w], this.all));
      if (this.against.get(w) !== null) return this.against.get(w);
    }
    return null;
  }
}

/** sides are lower and upper bounds. */
export const sides = ({ below, covering, after, before }) => ({ lower: [below, after].filter((w) => w !== null), upper: [...covering, before].filter((w) => w !== null) });

const same = (a, b) => a.length === b.length && a.every((w, i) => w === b[i]);

/**
 * Doubt is what clocks say of whom not all could be checked: sure is what counts, and of more, each may count or not. A word that does not
 * can hide behind a wrong one that does, and the other way around. So whatever may bound a session is held against all.
 */
export class Doubt {
  constructor(sure, more) {
    Object.assign(this, { sure: new Words(sure), every: new Words([...sure, ...more]), more });
  }

  /** contradiction is what may speak against a clock that may bound leaves from first to last, or null; and whether it does, whatever counts. */
  contradiction(first, last) {
    const bounds = this.sure.bounds(first, last);
    const [by, all] = [bounds, this.every.bounds(first, last)].map(sides);
    if (same(by.lower, all.lower) && same(by.upper, all.upper)) {
      const certain = this.sure.contradiction(by);
      return { found: certain ?? this.every.contradiction(by), certain: certain !== null };
    }
    const { below, after, before } = bounds;
    const lower = this.more.filter((w) => w.index < first && (isToken(w) ? below === null || w.from >= below.from : after === null || w.from >= after.from));
    const upper = this.more.filter((w) => w.size > last && (isToken(w) || before === null || w.to <= before.to));
    return { found: this.every.contradiction({ lower: [...by.lower, ...lower], upper: [...by.upper, ...all.upper, ...upper] }), certain: false };
  }
}

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
