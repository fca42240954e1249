// External time (docs/spec/evidence.md): an anchor event of the log holds a time-stamp token over a checkpoint, that is over all
// leaves below its size; and whoever later stamps a checkpoint that covers the anchor's leaf, stamps the token too. So tokens are
// judged from the newest to the oldest, each by what later ones prove of it. No clock is asked. Times are nanoseconds since 1970.

import { binary, canonicalBase64, compare, hexOf } from './bytes.mjs';
import { openCheckpoint, quorumTime, witnessTime } from './checkpoint.mjs';
import { contradiction, contradictionText, instant, notAfter, notBefore, quorumWord, tokenWord } from './clocks.mjs';
import { Refused } from './cms.mjs';
import { sha256 } from './crypt.mjs';
import { Refusal, parseCheckpoint, readNote } from './keys.mjs';
import { placeOf, valueOf } from './session.mjs';
import { notChecked, verifyToken } from './timestamp.mjs';

const maxTokens = 4 * 1024;

// Reasons why a token does not count that are no fault of the file: for want of something, for what a trust file says alone, so that
// another verifier may take it, and this page's own.
const byPins = ['absent', 'unpinned', 'window', 'compromised', 'chain', 'policy', 'accuracy-cap', 'authority', 'algorithm', notChecked];

/** isFault tells whether no verifier could count a token that is refused for a reason. */
export const isFault = (reason) => !byPins.includes(reason);

/** oneVoice tells whether two tokens hang on one key: whoever holds that could have made the two. */
const oneVoice = (a, b) => a.report.authority === b.report.authority || a.token.keys.some((k) => b.token.keys.includes(k));

/** timeOf is when a quorum had cosigned, in seconds since 1970, or null: by what was checked, or as if the rest were right, too. */
const timeOf = (h, unchecked) => (unchecked ? h.unchecked : h.quorum);

const isThere = (x) => x !== null;

/** Anchors judges what was stamped. */
export class Anchors {
  constructor(v) {
    Object.assign(this, { v, stamped: [], heads: [], good: new Map(), absent: 0, here: 0, unlisted: 0, places: null, words: [], uncertain: false });
  }

  /** note takes an anchor event whose entry was verified. */
  note(l, i) {
    const where = { ...placeOf(l), seq: l.entry.seq + i, event: i };
    this.places ??= new Set(this.v.bundle.anchors.map((a) => a.index));
    const here = this.places.has(l.index);
    if (here && this.here === maxTokens) {
      this.v.find('anchors', 'failed', where, `more than ${maxTokens} anchor events whose checkpoints are in the file`);
      return;
    }
    if (!here && this.stamped.length - this.here === maxTokens) {
      this.unlisted++;
      return;
    }
    if (here) this.here++;
    const event = valueOf(l.entry.events[i]);
    this.stamped.push({ where, event, note: '', authority: null, token: null, report: { index: l.index, authority: event.authority, size: BigInt(event.size), counts: false } });
  }

  async judge() {
    await this.publics();
    const events = new Map();
    for (const s of this.stamped) events.set(s.report.index, [...(events.get(s.report.index) ?? []), s]);
    for (const a of this.v.bundle.anchors) {
      try {
        await this.stampedNote(a, events.get(a.index) ?? []);
      } catch (err) {
        if (!(err instanceof Refusal)) throw err;
        this.v.find('anchors', 'failed', { file: a.name, index: a.index }, err.message);
      }
    }
    // What does not hang together is asked for at once, and answered in order.
    const judged = this.stamped.map((s) => this.token(s));
    for (let i = 0; i < judged.length; i++) this.settle(this.stamped[i], await judged[i]);
    this.stamped.sort((a, b) => compare(b.report.index, a.report.index));
    this.stamped.forEach((s, i) => s.report.counts && this.succeed(s, this.stamped.slice(0, i)));
    this.stamped.sort((a, b) => compare(a.report.index, b.report.index) || compare(a.where.event, b.where.event));
    this.v.pass('anchors', this.stamped.filter((s) => s.report.counts).length);
    this.v.report.anchors = this.stamped.map((s) => s.report);
  }

  /** publics checks public bytes against the anchor events that name them. */
  async publics() {
    const named = new Map();
    for (const s of this.stamped) {
      for (const p of publicOf(s.event)) {
        if (named.has(p.sha256) && named.get(p.sha256) !== p.size) {
          this.v.find('anchors', 'failed', s.where, 'names public bytes by another size than an anchor before it');
        }
        named.set(p.sha256, p.size);
      }
    }
    for (const b of this.v.bundle.public) {
      const where = { file: b.name };
      const hash = await sha256(b.bytes);
      const name = btoa(b.hex.replace(/../g, (x) => String.fromCharCode(parseInt(x, 16))));
      if (!named.has(name)) this.v.find('anchors', 'failed', where, 'no anchor here names these bytes');
      else if (b.bytes.length !== named.get(name) || hexOf(hash) !== b.hex) this.v.find('anchors', 'failed', where, 'not the bytes that the anchor names');
      else this.good.set(name, b);
    }
    this.absent = named.size - this.good.size;
  }

  /** stampedNote checks a checkpoint that was stamped. */
  async stampedNote(a, events) {
    const { checkpoint: head, trust, roots } = this.v;
    if (events.length === 0) throw new Refusal('no anchor of the log stands at this leaf in the file');
    const cp = parseCheckpoint(readNote(binary(a.note)).text);
    const digest = btoa(await sha256(a.note));
    const of = events.filter((s) => s.event.checkpoint === digest);
    if (of.length === 0) throw new Refusal('not the checkpoint that the anchor names');
    if (cp.origin !== trust.origin) throw new Refusal('a checkpoint of another log');
    if (cp.size > a.index) throw new Refusal(`the checkpoint of size ${cp.size} would cover the anchor itself`);
    for (const s of of) if (s.report.size !== cp.size) throw new Refusal(`the anchor says size ${s.report.size}, its checkpoint ${cp.size}`);
    if (cp.size > head.size) throw new Refusal(`the checkpoint of size ${cp.size} is larger than the file's, of size ${head.size}`);
    if (roots.get(cp.size) !== cp.root) throw new Refusal(`the leaves and the hashes in the file do not lead to the root that was stamped, of size ${cp.size}`);
    for (const s of of) s.note = digest;
    this.head(await openCheckpoint(trust, binary(a.note)), cp.size, a.index);
  }

  /** head notes when a quorum had cosigned a checkpoint that stands at a leaf, or in none: by what was checked, and if the rest is right, too. */
  head(opened, size, index) {
    const { trust } = this.v;
    const good = opened.err === null;
    this.heads.push({ size, index, quorum: good ? quorumTime(trust, opened) : null, unchecked: good || opened.open ? quorumTime(trust, opened, true) : null });
  }

  /** token judges a token by itself: it gives what the token says, or why it does not count. */
  async token(s) {
    const { event, report } = s;
    if (s.note === '') return new Refused('absent', 'the checkpoint that was stamped is not in the file');
    let der = event.token === undefined ? null : canonicalBase64(event.token.replace(/\n/g, ''));
    if (event.token !== undefined && der === null) return new Refused('not-der', "the anchor's token is not in base64");
    if (event.token_blob !== undefined) {
      const blob = this.good.get(event.token_blob.sha256);
      if (blob === undefined) return new Refused('absent', 'the token is not in the file');
      der = binary(blob.bytes);
    }
    s.authority = this.v.trust.config.authorities.find((a) => a.name === report.authority) ?? null;
    if (s.authority === null) return new Refused('unpinned', 'the trust file does not name this authority');
    try {
      return await verifyToken(der, atob(s.note), { ...s.authority, algorithms: this.v.trust.config.algorithms });
    } catch (err) {
      if (err instanceof Refused) return err;
      throw err;
    }
  }

  /**
   * settle notes what was judged. That a token does not count by what this verifier has pinned is no fault of the file; all else is:
   * nobody could accept it.
   */
  settle(s, answer) {
    const { report, where } = s;
    if (!(answer instanceof Refused)) {
      s.token = answer;
      Object.assign(report, { time: instant(answer.time), counts: true });
      const ms = Number(answer.accuracy / 1_000_000n);
      if (ms > 0) report.accuracy_ms = ms;
      return;
    }
    Object.assign(report, { reason: answer.reason, detail: answer.message });
    s.token = answer.claim ?? null;
    if (isFault(answer.reason)) this.v.find('anchors', 'failed', where, `the token of ${report.authority}: ${answer.message} (${answer.reason})`);
  }

  /** succeed judges a token by those that came later, which were judged before. */
  succeed(s, later) {
    const refuse = (reason, detail) => Object.assign(s.report, { counts: false, reason, detail });
    // SPEC: RFC 4998 5.2: a renewal covers the earlier token. Its leaf lies in the tree that the later one stamped.
    const over = later.filter((l) => l.report.size > s.report.index);
    const by = over.filter((l) => l.report.counts).reduce((a, b) => (a === null || notAfter(b) < notAfter(a) ? b : a), null);
    const unproven = (end) => by === null || notAfter(by) >= end;
    const { compromised } = s.authority;
    // Its own time, which is before the end, is all that there is of the newest: enough, unless whoever forges can choose it.
    const ended = s.token.ends.find((e) => (by === null ? e.broken : unproven(e.end)));
    const marked = compromised !== null && unproven(compromised);
    if (marked || ended !== undefined) {
      const why = `${marked ? 'the authority is compromised' : `it uses ${ended.name}, which counts before ${ended.day}`}, and no later token`;
      if (over.some((l) => l.report.reason === notChecked)) refuse(notChecked, `${why} that this page can check proves that this one existed before`);
      else refuse(marked ? 'compromised' : 'algorithm', `${why} proves that this one existed before`);
      return;
    }
    if (by === null || notBefore(s) <= notAfter(by)) return;
    const detail = `the token of ${s.report.authority} says ${s.report.time}, and the later one of ${by.report.authority}, at leaf ${by.report.index}, `
      + `which covers it, says ${by.report.time}: one of the authorities is wrong`;
    this.v.find('anchors', 'failed', s.where, detail);
    refuse('order', detail);
  }

  /** counting lists the tokens that count; with unchecked, also those that this page can't judge. */
  counting(unchecked) {
    return this.stamped.filter(({ report, token }) => report.counts || (unchecked && report.reason === notChecked && token !== null));
  }

  /** bounds are what the brackets of leaves from first to last rest on. */
  bounds(first, last, unchecked) {
    const tokens = this.counting(unchecked);
    const out = { below: null, covering: [], after: null, before: null };
    for (const s of tokens) if (s.report.index < first && (out.below === null || notBefore(s) > notBefore(out.below))) out.below = s;
    const over = tokens.filter((s) => s.report.size > last).sort((a, b) => compare(notAfter(a), notAfter(b)));
    for (const s of over) if (!out.covering.some((o) => oneVoice(o, s))) out.covering.push(s);
    // The anchors' leaves hold the hash of what witnesses signed: what stands above was logged after it.
    for (const h of this.heads) {
      const time = timeOf(h, unchecked);
      if (time === null) continue;
      if (h.index !== null && h.index < first && (out.after === null || time > timeOf(out.after, unchecked))) out.after = h;
      else if (h.size > last && (out.before === null || time < timeOf(out.before, unchecked))) out.before = h;
    }
    return out;
  }

  /** contradiction is what speaks against one of the clocks that bound leaves, or null. */
  contradiction({ below, covering, after, before }, unchecked) {
    const quorum = (h) => quorumWord(h, timeOf(h, unchecked));
    const lower = [...[below].filter(isThere).map(tokenWord), ...[after].filter(isThere).map(quorum)];
    const upper = [...covering.map(tokenWord), ...[before].filter(isThere).map(quorum)];
    return contradiction(lower, upper, this.words[unchecked ? 1 : 0]);
  }

  /** hear takes in what tokens and quorums say that count, and what else they may. */
  hear() {
    this.uncertain = this.stamped.some((s) => s.report.reason === notChecked) || this.heads.some((h) => h.quorum !== h.unchecked);
    this.words = [false, true].map((unchecked) => [...this.counting(unchecked).map(tokenWord),
      ...this.heads.filter((h) => timeOf(h, unchecked) !== null).map((h) => quorumWord(h, timeOf(h, unchecked)))]);
  }

  /**
   * times says between which times sessions were logged, whether as many authorities say so as was demanded, and whether the clocks can
   * all be right.
   */
  times() {
    this.head(this.v.checkpoint, this.v.checkpoint.size, null);
    this.hear();
    const { stamps } = this.v.trust.config;
    for (const s of this.v.report.sessions) {
      s.time = { not_before: null, not_after: null, authorities: [], stamps, witnessed: null, contradiction: null };
      if (s.tracks.length === 0) continue;
      const first = s.tracks.map((t) => t.first_index).reduce((a, b) => (b < a ? b : a));
      const last = s.tracks.map((t) => t.last_index).reduce((a, b) => (b > a ? b : a));
      this.sessionTime(s, first, last);
    }
  }

  /** sessionTime judges the time of a session whose entries stand at leaves from first to last. */
  sessionTime(s, first, last) {
    const bounds = this.bounds(first, last, false);
    const { below, covering, after, before } = bounds;
    const { stamps } = s.time;
    const bound = (x, time) => ({ time: instant(time), authority: x.report.authority, anchor_index: x.report.index });
    if (below !== null) s.time.not_before = bound(below, notBefore(below));
    s.time.authorities = covering.map((c) => c.report.authority).sort();
    const seen = (h) => h && { time: witnessTime(h.quorum), size: h.size };
    if (after !== null || before !== null) s.time.witnessed = { not_before: seen(after), not_after: seen(before) };
    const nth = covering[Math.max(1, stamps) - 1];
    if (nth !== undefined) s.time.not_after = { ...bound(nth, notAfter(nth)), size: nth.report.size };
    const unbound = nth === undefined && stamps > 0 ? this.unbound(s.time, last) : null;
    const certain = s.time.contradiction = this.contradiction(bounds, false);
    // What this page can't check may be right, and then all that is here may fit, or not.
    const possible = this.uncertain ? this.contradiction(this.bounds(first, last, true), true) : certain;
    const where = { session: s.session, index: last };
    if (certain !== null || possible !== null) {
      const words = contradictionText(certain ?? possible);
      const outcome = certain !== null && possible !== null ? 'unmet' : 'not-checked';
      // Whatever is demanded, and whatever the file waits for: nothing that comes later mends it.
      this.v.find('time', outcome, where, unbound === null ? words : `${words}; ${unbound.words}`);
    } else if (unbound?.possible) this.v.find('time', 'not-checked', where, unbound.words);
    else if (unbound !== null) this.v.unmet('time', where, unbound.words, this.stampedBy(last) < stamps);
    else if (nth !== undefined) this.v.pass('time');
  }

  /** unbound says why the time of a session's last leaf is not bound as was demanded, and whether it may be by what was not checked. */
  unbound({ authorities, stamps }, index) {
    let words = `the session's last entry is bound by ${authorities.length} time-stamp authorities, and the trust file demands ${stamps}`;
    let possible = authorities.length;
    for (const { name } of this.v.trust.config.authorities) {
      const of = this.stamped.filter((s) => s.report.authority === name && s.report.size > index && !s.report.counts);
      if (authorities.includes(name)) words += `; ${name}: bound`;
      else if (of.length === 0) words += `; ${name}: no token of it here covers the entry`;
      else words += `; ${name}: its token at leaf ${of[0].report.index} does not count: ${of[0].report.detail}`;
      if (!authorities.includes(name) && of.some((s) => s.report.reason === notChecked)) possible++;
    }
    return { words, possible: possible >= stamps };
  }

  /** stampedBy counts the pinned authorities of which a token over a leaf is here, whether it counts or not. */
  stampedBy(index) {
    return new Set(this.stamped.filter((s) => s.authority !== null && s.report.size > index).map((s) => s.report.authority)).size;
  }

  /** unchecked is how many tokens are here that this page can't judge. */
  unchecked() {
    return this.stamped.filter((s) => s.report.reason === notChecked).length;
  }

  /** notChecked says what is not known of times. */
  notChecked() {
    const out = [];
    const add = (id, why) => out.push({ id, why });
    const { sessions } = this.v.report;
    const bound = sessions.filter((s) => s.time?.not_after).length;
    const refused = this.stamped.filter((s) => !s.report.counts).length + this.unlisted;
    const unchecked = this.unchecked();
    if (bound === 0) add('external-time', 'external time: every time here is the word of the log, of a recorder or of a witness');
    else if (bound < sessions.length) add('external-time', `external time of ${sessions.length - bound} sessions: no time-stamp token that counts covers their end`);
    if (unchecked > 0) add('unchecked-tokens', `${unchecked} time-stamp tokens that this page can't judge, and steno-verify can: see anchors`);
    if (refused > unchecked) add('tokens', `${refused - unchecked} time-stamp tokens, which do not count and prove nothing: see anchors`);
    if (this.stamped.length + this.unlisted > refused) {
      add('revocation', 'whether certificates of time-stamp authorities had been revoked: windows and marks in the trust file decide whose word counts, '
        + 'and the data that anchors name is for others to judge');
    }
    if (this.absent > 0) add('absent-public', `${this.absent} pieces of public data that anchors name are not in the file`);
    return out;
  }
}

/** publicOf are the public bytes that an anchor names, but for the checkpoint: that has a file of its own. */
function publicOf(event) {
  const all = (event.long_term ?? []).filter((p) => p.sha256 !== event.checkpoint);
  return event.token_blob === undefined ? all : [...all, event.token_blob];
}
