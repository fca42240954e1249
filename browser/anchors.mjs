// External time (docs/spec/evidence.md): anchor events of the log hold time-stamp tokens over checkpoints. What is checked here
// is that each checkpoint is the one its anchor names and that the bundle's tree extends it, and that public bytes are those
// that are named. The tokens themselves (RFC 3161) are not checked.

import { binary, canonicalBase64, hexOf } from './bytes.mjs';
import { openCheckpoint, quorumTime, witnessTime } from './checkpoint.mjs';
import { sha256 } from './crypt.mjs';
import { Refusal, parseCheckpoint, readNote } from './keys.mjs';
import { placeOf, valueOf } from './session.mjs';

const maxTokens = 4 * 1024;
const unchecked = 'not-checked-here';

/** Anchors judges what was stamped. */
export class Anchors {
  constructor(v) {
    Object.assign(this, { v, stamped: [], heads: [], good: new Map(), absent: 0 });
  }

  /** note takes an anchor event whose entry was verified. */
  note(l, i) {
    const where = { ...placeOf(l), seq: l.entry.seq + i, event: i };
    if (this.stamped.length === maxTokens) {
      this.v.find('anchors', 'failed', where, `more than ${maxTokens} anchor events`);
      return;
    }
    const event = valueOf(l.entry.events[i]);
    this.stamped.push({ where, event, note: false, report: { index: l.index, authority: event.authority, size: BigInt(event.size), counts: false } });
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
    for (const s of this.stamped) this.token(s);
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
    for (const s of of) s.note = true;
    const opened = await openCheckpoint(trust, binary(a.note));
    this.heads.push({ size: cp.size, index: a.index, quorum: opened.err === null ? quorumTime(trust, opened) : null });
  }

  /** token says why a token does not count here, or could not be checked. */
  token(s) {
    const { event, report } = s;
    const refuse = (reason, detail) => Object.assign(report, { reason, detail });
    if (!s.note) return refuse('absent', 'the checkpoint that was stamped is not in the file');
    if (event.token !== undefined && canonicalBase64(event.token.replace(/\n/g, '')) === null) {
      this.v.find('anchors', 'failed', s.where, "the anchor's token is not in base64");
      return refuse('not-der', "the anchor's token is not in base64");
    }
    if (event.token_blob !== undefined && !this.good.has(event.token_blob.sha256)) return refuse('absent', 'the token is not in the file');
    if (!this.v.trust.config.authorities.some((a) => a.name === report.authority)) return refuse('unpinned', 'the trust file does not name this authority');
    return refuse(unchecked, 'this page does not check time-stamp tokens');
  }

  /** times says between which times sessions were logged, and whether what the trust file demands can be met. */
  times() {
    const { stamps } = this.v.trust.config;
    for (const s of this.v.report.sessions) {
      s.time = { not_before: null, not_after: null, authorities: [], stamps, witnessed: null };
      if (s.tracks.length === 0) continue;
      const first = s.tracks.map((t) => t.first_index).reduce((a, b) => (b < a ? b : a));
      const last = s.tracks.map((t) => t.last_index).reduce((a, b) => (b > a ? b : a));
      s.time.witnessed = this.witnessedBetween(first, last);
      if (stamps === 0) continue;
      const covering = new Set(this.stamped.filter((x) => x.report.reason === unchecked && x.report.size > last).map((x) => x.report.authority));
      const where = { session: s.session, index: last };
      const words = `tokens of ${covering.size} pinned time-stamp authorities cover the session's last entry, and the trust file demands ${stamps}`;
      if (covering.size < stamps) this.v.find('time', 'unmet', where, words);
      else this.v.find('time', 'not-checked', where, `${words}; whether the tokens are good, this page does not check`);
    }
  }

  /** witnessedBetween is what the clocks of witnesses say: see package evidence. */
  witnessedBetween(first, last) {
    const end = { size: this.v.checkpoint.size, index: null, quorum: quorumTime(this.v.trust, this.v.checkpoint) };
    let [after, before] = [null, null];
    for (const h of [...this.heads, end]) {
      if (h.quorum === null) continue;
      if (h.index !== null && h.index < first && (after === null || h.quorum > after.quorum)) after = h;
      else if (h.size > last && (before === null || h.quorum < before.quorum)) before = h;
    }
    const bound = (h) => h && { time: witnessTime(h.quorum), size: h.size };
    return after === null && before === null ? null : { not_before: bound(after), not_after: bound(before) };
  }

  /** unchecked is how many tokens are here that could count. */
  unchecked() {
    return this.stamped.filter((s) => s.report.reason === unchecked).length;
  }

  /** notChecked says what is not known of times. */
  notChecked() {
    const out = [{ id: 'external-time', why: 'external time: every time here is the word of the log, of a recorder or of a witness' }];
    const n = this.unchecked();
    if (n > 0) out.push({ id: 'tokens', why: `${n} time-stamp tokens of pinned authorities: this page does not check them, and steno-verify does` });
    if (this.stamped.length > n) out.push({ id: 'refused-tokens', why: `${this.stamped.length - n} time-stamp tokens, which do not count and prove nothing: see anchors` });
    if (this.absent > 0) out.push({ id: 'absent-public', why: `${this.absent} pieces of public data that anchors name are not in the file` });
    return out;
  }
}

/** publicOf are the public bytes that an anchor names, but for the checkpoint: that has a file of its own. */
function publicOf(event) {
  const all = (event.long_term ?? []).filter((p) => p.sha256 !== event.checkpoint);
  return event.token_blob === undefined ? all : [...all, event.token_blob];
}
