// Verification of a bundle by a trust file (docs/spec/evidence.md): the checks of package evidence, in its order and words, and
// one outcome more, *not-checked*, for what this reader can't check and the trust file demands.

import { Anchors } from './anchors.mjs';
import { FormatError } from './archive.mjs';
import { base64Of, binary, cut, hexOf, utf8 } from './bytes.mjs';
import { readBundle } from './bundle.mjs';
import { infoOf, openCheckpoint } from './checkpoint.mjs';
import { sha256 } from './crypt.mjs';
import { HandOver } from './custody.mjs';
import { openDisclosure, payloadAt } from './disclosure.mjs';
import { EntryError, grammar, parse } from './entry.mjs';
import { Refusal, plainKey, verifyPlain, verifyReceipt } from './keys.mjs';
import { judgeInclusion } from './inclusion.mjs';
import { leafHash } from './merkle.mjs';
import { Keys, Session, mentions, names, placeOf, valueOf, verifyRecorder } from './session.mjs';
import { digest } from './sha256.mjs';
import { SystemTrack } from './system.mjs';
import { readTrust } from './trust.mjs';

const batch = 256; // leaves that are prepared at once

export const checkOrder = ['bundle', 'checkpoint', 'witnesses', 'range', 'inclusion', 'entries', 'received', 'enrolment', 'recorder', 'chain', 'tracks',
  'system', 'admitted', 'embedded', 'anchors', 'time', 'blobs', 'disclosures', 'custody', 'complete', 'policy'];

const outcomes = ['incomplete', 'not-checked', 'unmet', 'failed']; // that of a check is its worst, which is the last

/** tooEarly says what a file can say that it was made before. */
export const tooEarly = { witnesses: 'the witnesses had seen what it holds', time: 'the time stamps were there' };

/**
 * verify judges a bundle by a trust file, both Uint8Arrays, and gives the report (as steno-verify --json has it) and what there
 * is to show: the leaves with their entries, the disclosures, the trust file. schema is that of events.
 */
export async function verify(bundleBytes, trustBytes, schema) {
  let trust;
  try {
    trust = await readTrust(binary(trustBytes));
  } catch (err) {
    if (!(err instanceof Refusal)) throw err;
    return unusable(err.message);
  }
  const v = new Verification(trust, grammar(schema));
  try {
    v.bundle = readBundle(bundleBytes);
    v.pass('bundle');
    v.sameTrust = v.bundle.trust !== null && hexOf(await sha256(v.bundle.trust)) === trust.digest;
  } catch (err) {
    if (!(err instanceof FormatError)) throw err;
    const where = { ...(err.file === '' ? {} : { file: utf8(err.file) }), offset: err.offset };
    v.find('bundle', 'failed', where, err.message);
  }
  if (v.bundle !== null) await v.run();
  v.conclude();
  v.report.bundle_sha256 = hexOf(await sha256(bundleBytes));
  return v;
}

function unusable(why) {
  const report = { ...newReport(), exit: 2, verdict: 'unusable', error: why };
  report.checks = checkOrder.map((id) => ({ id, outcome: 'not-run', passed: 0 }));
  return { report, leaves: [], disclosed: [], trust: null, bundle: null };
}

const newReport = () => ({ format: 'steno/report/v1', exit: 0, verdict: '', checks: [], not_checked: [], pending: [], custody: null, sessions: [], anchors: [] });

class Verification {
  constructor(trust, schema) {
    Object.assign(this, {
      trust, schema, bundle: null, checkpoint: null, keys: null, sessions: new Map(), system: new Map(), leaves: [], disclosed: [],
      openings: new Map(), passed: new Map(), findings: [], shaken: false, report: newReport(), roots: new Map(), proven: false,
    });
    this.anchors = new Anchors(this);
    this.handOver = new HandOver(this);
    this.report.origin = trust.origin;
    this.report.trust_sha256 = trust.digest;
  }

  /**
   * unmet notes that a demand is not met. A file that says that it was made too early for that can be followed by a better one: what
   * it says meets nothing, and is not heard where it is not early, where all is here that was asked for and does not count.
   */
  unmet(check, where, detail, early) {
    if (!early || !this.bundle.pending.includes(check)) this.find(check, 'unmet', where, detail);
    else this.find(check, 'incomplete', where, `${detail}; the file says that it was made before ${tooEarly[check]}: ask for a later one`);
  }

  find(check, outcome, where, detail) {
    this.findings.push({ check, outcome, where, detail });
  }

  pass(check, n = 1) {
    this.passed.set(check, (this.passed.get(check) ?? 0) + n);
  }

  async run() {
    this.report.pending = this.bundle.pending;
    await this.handOver.open();
    if (!(await this.openCheckpoint())) return;
    this.report.checkpoint = infoOf(this.trust, this.checkpoint);
    for (const id of this.bundle.sessions) this.sessions.set(id, new Session(id, this.keys));
    let ahead = []; // while signatures are verified on other threads, the next batch is read
    for (let i = 0; i < this.bundle.leaves.length; i += batch) {
      const now = Promise.all(this.bundle.leaves.slice(i, i + batch).map((l) => this.prepare(l)));
      this.leaves.push(...(await ahead));
      ahead = now;
    }
    this.leaves.push(...(await ahead));
    for (const l of this.leaves) {
      const before = this.findings.length;
      await this.leaf(l);
      if (this.findings.length > before) {
        this.shaken = true;
        l.wrong = true;
      }
    }
    let before = this.findings.length;
    judgeInclusion(this);
    if (this.findings.length > before) this.shaken = true;
    this.range();
    before = this.findings.length;
    await this.anchors.judge();
    if (this.findings.length > before) this.shaken = true;
    await this.judge();
    this.anchors.times();
    await this.blobs();
    await this.disclosures();
    await this.handOver.judge();
    for (const s of this.report.sessions) this.pass('policy', s.tracks.length); // nothing is demanded of holders here
  }

  async openCheckpoint() {
    const where = { file: 'checkpoint' };
    const cp = await openCheckpoint(this.trust, binary(this.bundle.checkpoint));
    this.checkpoint = cp;
    this.keys = new Keys(this.trust, cp.witnessed);
    let err = cp.err;
    if (this.bundle.origin !== this.trust.origin && (err === null || this.keys.outcome(err) === 'unmet')) {
      err = new Refusal('the bundle is of another log than the one that is pinned');
    }
    if (err === null) this.pass('checkpoint');
    else {
      this.shaken = true;
      const outcome = this.keys.outcome(err);
      this.find('checkpoint', outcome, where, err.message);
      if (outcome === 'failed') return false;
    }
    for (const id of checkOrder.slice(2)) this.pass(id, 0); // from here on every check runs
    if (cp.witnessed) this.pass('witnesses', new Set(cp.cosigned.map((c) => c.operator)).size);
    else if (cp.open) this.find('witnesses', 'not-checked', where, `signatures of ML-DSA-44, which this page does not check, decide here: ${cp.missing}`);
    else this.unmet('witnesses', where, cp.missing, cp.early);
    return true;
  }

  /** prepare does for a leaf what needs no order: hashes, reading, receipt. */
  async prepare(l) {
    const out = { index: l.index, bytes: l.bytes, leafHash: leafHash(l.bytes), entry: null, hash: '', accepted: false, repeat: false, wrong: false };
    try {
      out.entry = parse(l.bytes, this.schema);
    } catch (err) {
      if (!(err instanceof EntryError)) throw err;
      out.unreadable = err;
      return out;
    }
    const e = out.entry;
    const key = this.trust.received.find((k) => names(k, e.received));
    const [received] = await Promise.all([key && verifyReceipt(key, e.bytes, e.received), this.ahead(e)]);
    out.hash = btoa(digest(e.bytes));
    return Object.assign(out, { received: received === true ? key : null, stranger: key === undefined });
  }

  /** ahead begins to verify a recorder's signature by the key that its track's opening names, which is not believed yet. */
  async ahead(e) {
    const name = `${e.session}/${e.track}`;
    if (e.seq === 0 && e.track !== 'log') {
      const vkey = cut(valueOf(e.events[0]).enrolment, '\n\n')[0].split('\n')[2];
      this.openings.set(name, plainKey(vkey ?? '').catch(() => null));
    }
    const key = await (e.track === 'log' ? this.trust.system.find((k) => names(k, e.recorder)) : this.openings.get(name));
    if (key) await verifyPlain(key, e.bytes, e.recorder);
  }

  /** leaf judges what can be judged of a leaf by itself, and hands the entry to its session. */
  async leaf(l) {
    let where = { file: `leaf/${String(l.index).padStart(20, '0')}`, index: l.index };
    if (l.index >= this.checkpoint.size) {
      this.find('inclusion', 'failed', where, `the leaf is not in the tree of size ${this.checkpoint.size}`);
      l.entry = null;
      return;
    }
    if (l.entry === null) {
      this.find('entries', 'failed', { ...where, offset: l.unreadable.offset }, l.unreadable.detail);
      return;
    }
    where = placeOf(l);
    if (l.entry.origin !== this.trust.origin) {
      this.find('entries', 'failed', where, 'the entry was made for another log');
      return;
    }
    this.pass('entries');
    const s = l.entry.track === 'log' ? undefined : this.sessions.get(l.entry.session);
    if (s !== undefined) this.handOver.entry(l);
    if (!this.receipt(l, where)) return;
    l.counted = true;
    if (l.entry.track === 'log') {
      await this.systemEntry(l, where);
      return;
    }
    if (s === undefined) this.find('tracks', 'failed', where, 'an entry of a session that the bundle does not name');
    else await s.add(l);
  }

  receipt(l, where) {
    if (l.received === null) {
      const why = l.stranger ? "receipt is by another key than the log's" : "the log's receipt does not verify";
      this.find('received', 'failed', where, `${why} (bad-signature)`);
      return false;
    }
    const outside = this.keys.counts('received', l.received, l.index);
    if (outside === null) {
      this.pass('received');
      return true;
    }
    const outcome = this.keys.outcome(outside);
    this.find('received', outcome, where, outside.message);
    return outcome !== 'failed';
  }

  /** systemEntry judges an entry of the log's own, whose chain is followed where two of them stand next to each other. */
  async systemEntry(l, where) {
    const e = l.entry;
    const key = this.trust.system.find((k) => names(k, e.recorder));
    if (key === undefined) {
      this.find('system', 'failed', where, "an entry of the log's own that is signed by no pinned system key");
      return;
    }
    try {
      await verifyRecorder(key, e);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.find('system', 'failed', where, err.detail);
      return;
    }
    const outside = this.keys.counts('system', key, l.index);
    if (outside !== null) {
      const outcome = this.keys.outcome(outside);
      this.find('system', outcome, where, outside.message);
      if (outcome === 'failed') return;
    }
    const s = this.system.get(e.session) ?? new SystemTrack();
    this.system.set(e.session, s);
    const [again, wrong] = s.add(l);
    l.accepted = wrong === '';
    l.repeat = again;
    if (again) return;
    if (wrong !== '') {
      this.find('system', 'failed', where, wrong);
      return;
    }
    if (outside === null) this.pass('system');
    e.events.forEach((ev, i) => {
      if (ev.type === 'anchor') this.anchors.note(l, i);
      if (ev.type === 'disclosure') this.handOver.event(l, i);
      this.sessions.get(mentions(ev))?.say(l, i);
    });
  }

  /** range judges whether the file has every leaf of the range that it names. */
  range() {
    const { range, leaves } = this.bundle;
    if (range === null) return;
    const { from, to } = range;
    const { size } = this.checkpoint;
    let next = from;
    for (const { index } of leaves) {
      if (index < from || index >= to || index >= size) continue;
      this.pass('range');
      if (index === next) next++;
    }
    if (to > size) this.find('range', 'failed', { file: 'steno-evidence' }, `a range of leaves from ${from} up to ${to}, in a tree of size ${size}`);
    else if (next < to) {
      this.find('range', 'failed', { index: next }, `the leaf is not here, and the file says that it has all from ${from} up to, but not, ${to}`);
    }
  }

  async judge() {
    const roots = new Map([...(this.proven ? this.roots : []), [0n, await sha256('')]]);
    for (const s of this.sessions.values()) {
      const r = await s.judge();
      if (this.shaken) r.verdict = 'unproven';
      this.report.sessions.push(r);
      for (const f of s.findings) this.findings.push(f);
      for (const [id, n] of s.passed) this.pass(id, n);
      this.views(s, roots);
    }
  }

  /** views compares what recorders were shown: of one size there is one root, the tree's where that is known. */
  views(s, roots) {
    for (const { checkpoint: cp, where, good } of s.embeds) {
      if (!good) continue;
      const known = roots.get(cp.size);
      if (known === undefined) roots.set(cp.size, cp.root);
      else if (known !== cp.root) {
        this.find('embedded', 'failed', where, `split view: the recorder was shown another root for size ${cp.size} than was shown before, or was stamped`);
      }
    }
  }

  /** blobs checks sealed bytes against the entries that name them. */
  async blobs() {
    const here = new Map(); // bytes of those that are what they are named
    for (const b of this.bundle.blobs) if (hexOf(await sha256(b.bytes)) === b.hex) here.set(base64Of(b.hex), b.bytes.length);
    const sizes = new Map(); // by the entries
    const counts = new Map(this.report.sessions.map((r) => [r.session, r.payloads = { blobs: 0, included: 0, disclosed: 0 }]));
    for (const l of this.leaves.filter((x) => x.counted)) {
      const count = counts.get(l.entry.session);
      for (const b of l.entry.blobs) {
        if ((sizes.get(b.sha256) ?? b.size) !== b.size) this.find('blobs', 'failed', placeOf(l), 'names bytes by another size than an entry before it');
        sizes.set(b.sha256, b.size);
        if (count === undefined) continue;
        count.blobs++;
        if (here.get(b.sha256) === b.size) count.included++;
      }
    }
    for (const b of this.bundle.blobs) {
      const name = base64Of(b.hex);
      if (!sizes.has(name)) this.find('blobs', 'failed', { file: b.name }, 'no entry here names these bytes');
      else if (here.get(name) !== sizes.get(name)) this.find('blobs', 'failed', { file: b.name }, 'not the bytes that the entry names');
      else this.pass('blobs');
    }
  }

  async disclosures() {
    const byIndex = new Map(this.leaves.filter((l) => l.counted).map((l) => [l.index, l]));
    for (const d of this.bundle.disclosed) {
      const l = byIndex.get(d.index);
      const out = { index: d.index, event: d.event, slot: d.slot, shown: null, wrong: '' };
      const where = { file: d.name, index: d.index, event: d.event, member: d.slot };
      this.disclosed.push(out);
      try {
        if (l === undefined || d.event >= l.entry.events.length) throw new Refusal('the event that it belongs to is not here');
        out.shown = await openDisclosure(d.bytes, payloadAt(valueOf(l.entry.events[d.event]), d.slot));
        this.pass('disclosures');
        const r = this.report.sessions.find((s) => s.session === l.entry.session);
        if (r !== undefined) r.payloads.disclosed++;
        this.handOver.shows(where, out.shown.segments);
      } catch (err) {
        if (!(err instanceof Refusal)) throw err;
        out.wrong = err.message;
        this.find('disclosures', 'failed', where, err.message);
      }
    }
  }

  /** conclude fills the checks from what passed and what was found, and draws the verdict. */
  conclude() {
    const r = this.report;
    for (const id of checkOrder) {
      const c = { id, outcome: this.passed.has(id) ? 'passed' : 'not-run', passed: this.passed.get(id) ?? 0 };
      for (const f of this.findings.filter((x) => x.check === id)) {
        const first = c.where === undefined;
        if (!first) c.others = (c.others ?? 0) + 1;
        if (first || outcomes.indexOf(f.outcome) > outcomes.indexOf(c.outcome)) Object.assign(c, { outcome: f.outcome, where: f.where, detail: f.detail });
      }
      if (id === 'anchors' && c.outcome === 'passed' && this.anchors.unchecked() > 0) {
        Object.assign(c, { outcome: 'not-checked', detail: 'some of the time-stamp tokens are of a kind that this page can\'t check' });
      }
      if (id === 'checkpoint' && c.outcome === 'passed' && this.checkpoint.unchecked.length > 0) {
        Object.assign(c, { outcome: 'not-checked', detail: 'this page does not check signatures of ML-DSA-44: one that is wrong would fail' });
      }
      r.checks.push(c);
    }
    const worst = (outcome) => this.findings.some((f) => f.outcome === outcome);
    if (worst('failed')) [r.exit, r.verdict] = [1, 'failed'];
    else if (worst('unmet')) [r.exit, r.verdict] = [3, 'policy-unmet'];
    else if (worst('not-checked')) [r.exit, r.verdict] = [3, 'not-checked'];
    else if (worst('incomplete')) [r.exit, r.verdict] = [4, 'incomplete'];
    else [r.exit, r.verdict] = [0, 'verified'];
    r.not_checked = this.notChecked();
  }

  /** notChecked says what a reader may take for granted and must not. */
  notChecked() {
    if (this.bundle === null) return [{ id: 'everything-else', why: 'the file is not an intact bundle, so nothing in it was judged' }];
    const out = [
      { id: 'outside', why: 'whether anything was done outside this record: no log can know' },
      {
        id: 'uniqueness',
        why: 'whether the log holds other entries of these sessions than those here, or has said more of them: a full audit or an auditing cosigner tells',
      },
      { id: 'numbering', why: "the numbers and predecessors of the agents' sessions, and the chain of the log's own sessions: a full audit tells" },
    ];
    if (!this.trust.needsWitnesses()) {
      out.splice(2, 0, {
        id: 'witnesses',
        why: "cosignatures on the checkpoint: the trust file demands none, and whether others saw the same log rests on the log's key alone",
      });
    }
    out.push(...this.anchors.notChecked(), this.handOver.notChecked());
    if (this.checkpoint?.unchecked.length > 0) {
      out.push({ id: 'ml-dsa-44', why: `signatures of ML-DSA-44 under the checkpoint, which this page can't check: ${this.checkpoint.unchecked.join(', ')}` });
    }
    const sum = (f) => this.report.sessions.reduce((n, s) => n + f(s.payloads), 0);
    const sealed = sum((p) => p.blobs);
    const absent = sum((p) => p.blobs - p.included);
    if (sealed > 0) {
      const shown = this.passed.get('disclosures');
      out.push({ id: 'sealed-content', why: `what is sealed in ${sealed} pieces of content, beyond ${shown} disclosures: it is committed to, and takes a key to read` });
    }
    if (absent > 0) out.push({ id: 'absent-content', why: `${absent} pieces of sealed content are not in the file` });
    if (this.bundle.trust !== null) {
      const same = this.sameTrust;
      out.push({ id: 'trust-file', why: `the trust file in the bundle: it is ${same ? 'the one' : 'another one than'} ${same ? 'that was' : 'was'} pinned, and was not used` });
    }
    if (this.bundle.html !== null) {
      out.push({ id: 'report', why: 'report.html in the bundle: it is for reading, and whoever made the file can write into it what they like' });
    }
    out.push({ id: 'readme', why: 'README.txt in the bundle: it is for reading, and whoever made the file can write into it what they like' });
    return out;
  }
}
