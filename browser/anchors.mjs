// External time (docs/spec/evidence.md): an anchor event of the log holds a time-stamp token over a checkpoint, that is over all
// leaves below its size; and whoever later stamps a checkpoint that covers the anchor's leaf, stamps the token too. So tokens are
// judged from the newest to the oldest, each by what later ones prove of it. No clock is asked. Times are nanoseconds since 1970.

import { binary, canonicalBase64, compare, hexOf } from './bytes.mjs';
import { openCheckpoint, quorumTimes, witnessTime } from './checkpoint.mjs';
import { Doubt, Words, contradictionText, instant, notAfter, notBefore, quorumWord, sides, tokenWord } from './clocks.mjs';
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

/** Anchors judges what was stamped. */
export class Anchors {
  constructor(v) {
    Object.assign(this, { v, stamped: [], heads: [], good: new Map(), absent: 0, here: 0, unlisted: 0, places: null, heard: null, doubt: null });
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
    this.disorder();
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
    this.heads.push({ size, index, quorum: good ? quorumTimes(trust, opened) : null, unchecked: good || opened.open ? quorumTimes(trust, opened, true) : null });
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

  /** disorder says where a token that this page can't judge, and another, would contradict each other if both are right. */
  disorder() {
    const told = this.unchecked() === 0 ? [] : this.stamped.filter((s) => s.token !== null && (s.report.counts || s.report.reason === notChecked));
    for (const [i, s] of told.entries()) {
      const by = told.slice(0, i).find((l) => l.report.size > s.report.index && notBefore(s) > notAfter(l) && !(s.report.counts && l.report.counts));
      if (by === undefined) continue;
      this.v.find('anchors', 'not-checked', s.where, `the token of ${s.report.authority} would contradict the later one of ${by.report.authority}, at leaf ${by.report.index}, `
        + 'which covers it, and this page can judge no more than one of them');
    }
  }

  /** hear takes in what tokens and quorums say that count, and what those say that this page can't judge. */
  hear() {
    const tokens = this.stamped.filter((s) => s.report.counts).map(tokenWord);
    const unjudged = this.stamped.filter((s) => s.report.reason === notChecked && s.token !== null).map(tokenWord);
    const quorums = (heads, of) => heads.filter((h) => of(h) !== null).map((h) => quorumWord(h, of(h)));
    const alike = ({ quorum: a, unchecked: b }) => a !== null && b !== null && a.since === b.since && a.until === b.until;
    this.heard = new Words([...tokens, ...quorums(this.heads, (h) => h.quorum)]);
    const more = [...unjudged, ...quorums(this.heads.filter((h) => !alike(h)), (h) => h.unchecked)];
    if (more.length > 0) this.doubt = new Doubt([...tokens, ...quorums(this.heads.filter(alike), (h) => h.quorum)], more);
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
    const bounds = this.heard.bounds(first, last);
    const { below, covering, after, before } = bounds;
    const { stamps } = s.time;
    const bound = (w, time) => ({ time: instant(time), authority: w.authority, anchor_index: w.index });
    if (below !== null) s.time.not_before = bound(below, below.from);
    s.time.authorities = covering.map((c) => c.authority).sort();
    const seen = (w, time) => w && { time: witnessTime(w.seconds[time]), size: w.size };
    if (after !== null || before !== null) s.time.witnessed = { not_before: seen(after, 'since'), not_after: seen(before, 'until') };
    const nth = covering[Math.max(1, stamps) - 1];
    if (nth !== undefined) s.time.not_after = { ...bound(nth, nth.to), size: nth.size };
    const unbound = nth === undefined && stamps > 0 ? this.unbound(s.time, last) : null;
    const heard = s.time.contradiction = this.heard.contradiction(sides(bounds));
    const { found, certain } = this.doubt?.contradiction(first, last) ?? { found: heard, certain: heard !== null };
    const where = { session: s.session, index: last };
    if (heard !== null || found !== null) {
      const words = contradictionText(found ?? heard);
      // Whatever is demanded, and whatever the file waits for: nothing that comes later mends it.
      this.v.find('time', certain ? 'unmet' : 'not-checked', where, unbound === null ? words : `${words}; ${unbound.words}`);
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
