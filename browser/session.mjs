// A Session judges the entries of one session: see package evidence, whose verdicts these are, in the same words. It is given
// entries in any order, then what the log itself said, and then judges.

import { compare, utf8 } from './bytes.mjs';
import { openCheckpoint } from './checkpoint.mjs';
import { checkCovers, noteIn, openEnrolment, timeOf } from './enrolment.mjs';
import { Refusal, verifyPlain } from './keys.mjs';
import { awaitsQuorum } from './trust.mjs';

const refuse = (code, words) => new Refusal(words, { code });

/** placeOf is where an entry stands. */
export const placeOf = (a) => ({ index: a.index, session: a.entry.session, track: a.entry.track, seq: a.entry.seq });

/** next is the sequence number after an entry's last event. */
export const next = (e) => e.seq + e.events.length;

/** Keys are the pinned keys as they count for the leaves under one checkpoint. */
export class Keys {
  constructor(trust, witnessed) {
    Object.assign(this, { trust, witnessed });
  }

  /** outcome is how a check ends that met an error. */
  outcome(err) {
    return err.window !== undefined && this.trust.needsWitnesses() && awaitsQuorum(err) ? 'unmet' : 'failed';
  }

  counts(role, key, index) {
    return this.trust.counts(role, key, index, this.witnessed);
  }

  /** embedded says what is wrong with a checkpoint that the entry at index embeds, or null. */
  embedded(cp, index) {
    const held = cp.err !== null && this.outcome(cp.err) === 'unmet';
    const wrong = () => new Refusal(`embedded ${cp.err.message}`, { window: cp.err.window, at: cp.err.at });
    if (cp.err !== null && !held) return wrong();
    if (cp.size > index) return new Refusal(`the entry embeds a checkpoint of size ${cp.size}, which would cover the entry itself`);
    if (held && !(this.witnessed && index < cp.err.window.until)) return wrong();
    return null;
  }
}

/** checkOf is the check that an error belongs to. */
function checkOf(err) {
  if (err.window !== undefined) {
    return { log: 'checkpoint', received: 'received', system: 'system', enroller: 'enrolment', recorder: 'recorder' }[err.window.role];
  }
  return {
    'bad-enrolment': 'enrolment', 'strange-enroller': 'enrolment', 'enrolment-expired': 'enrolment', 'enrolment-mismatch': 'enrolment',
    'bad-signature': 'recorder', 'other-recorder': 'recorder',
    'wrong-prev': 'chain', hole: 'chain', 'seq-behind': 'chain', 'track-closed': 'chain', 'other-session': 'tracks',
  }[err.code] ?? 'entries';
}

/** mentions is the session that a system event says something of, or undefined. */
export const mentions = (ev) => (['admitted', 'verdict', 'alert'].includes(ev.type) ? valueOf(ev).session : undefined);

/** valueOf is an event's members. What JSON.parse could be lenient about, the strict reader has refused. */
export function valueOf(ev) {
  ev.value ??= JSON.parse(utf8(ev.raw));
  return ev.value;
}

const verdicts = ['complete', 'late', 'interrupted', 'abandoned', 'open', 'unproven'];

export class Session {
  constructor(id, keys) {
    Object.assign(this, {
      id, keys, tracks: new Map(), admitted: [], verdicts: [], alerts: [], passed: new Map(), findings: [], opened: null, closed: null,
      closedAt: 0n, actions: new Map(), intents: 0, marks: [], embeds: [],
    });
  }

  find(check, outcome, where, detail) {
    this.findings.push({ check, outcome, where, detail });
  }

  pass(check) {
    this.passed.set(check, (this.passed.get(check) ?? 0) + 1);
  }

  /** refused notes what is wrong with an entry, and tells whether that ends its track. */
  refused(a, what, err) {
    const outcome = this.keys.outcome(err);
    const where = { ...placeOf(a), ...(err.event === undefined ? {} : { event: err.event, member: err.member }) };
    this.find(checkOf(err), outcome, where, what + err.detail);
    return outcome === 'failed';
  }

  /** add takes an entry of the session, whose receipt has been verified: {index, entry, hash}. */
  async add(a) {
    let t = this.tracks.get(a.entry.track);
    if (t === undefined) {
      t = { chain: null, open: null, points: new Map(), ends: new Map(), early: [], earliest: Infinity, broken: false, again: 0 };
      this.tracks.set(a.entry.track, t);
    }
    if ((await this.take(t, a)) && t.earliest <= t.chain.next) await this.drain(t);
  }

  /** take puts an entry into its place on the chain, and tells whether the chain has grown. */
  async take(t, a) {
    const seq = a.entry.seq;
    if (t.broken) return false;
    if (seq > (t.chain?.next ?? 0)) {
      // A failed append can leave entries in the log whose predecessors follow later. judge tells what never came.
      t.early.push(a);
      t.earliest = Math.min(t.earliest, seq);
      return false;
    }
    if (t.chain === null) return this.begin(t, a);
    if (seq < t.chain.next) {
      await this.again(t, a);
      return false;
    }
    return this.extend(t, a);
  }

  async drain(t) {
    for (let grown = true; grown && t.early.length > 0;) {
      grown = false;
      const waiting = t.early.sort((a, b) => a.entry.seq - b.entry.seq);
      t.early = [];
      t.earliest = Infinity;
      for (const a of waiting) grown = (await this.take(t, a)) || grown;
    }
  }

  async begin(t, a) {
    let chain;
    try {
      chain = await this.open(a);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.refused(a, 'opening of the track: ', err);
      t.broken = true;
      return false;
    }
    const outside = this.keys.counts('enroller', chain.enrolment.enroller, a.index);
    if (outside !== null) t.broken = this.refused(a, 'opening of the track: ', outside);
    else this.pass('enrolment');
    if (t.broken || !this.counts(chain, a)) {
      t.broken = true;
      return false;
    }
    t.chain = chain;
    t.open = valueOf(a.entry.events[0]);
    if (a.entry.track === 'main') this.opened = t.open;
    this.accept(t, a);
    return true;
  }

  /** open begins a track with its first entry: origin, place, enrolment and the recorder's signature. */
  async open(a) {
    const e = a.entry;
    if (e.prev !== zeroHash) throw refuse('wrong-prev', 'the first entry of a track has a previous hash of zeros');
    const open = valueOf(e.events[0]);
    const enrolment = await openEnrolment(noteIn(open.enrolment), this.keys.trust.enrollers);
    checkCovers(enrolment, this.keys.trust.origin, open, timeOf(e.received.time));
    const chain = { next: 0, head: '', first: a.hash, main: open.main ?? '', agent: open.agent, closed: false, enrolment, key: enrolment.key };
    await verifyRecorder(chain.key, e);
    advance(chain, a);
    return chain;
  }

  async extend(t, a) {
    try {
      checkNext(t.chain, a.entry);
      await verifyRecorder(t.chain.key, a.entry);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.refused(a, '', err);
      t.broken = true;
      return false;
    }
    if (!this.counts(t.chain, a)) {
      t.broken = true;
      return false;
    }
    advance(t.chain, a);
    this.accept(t, a);
    return true;
  }

  /** counts judges whether the track's key counts for an entry that it has signed. */
  counts(chain, a) {
    const outside = this.keys.counts('recorder', chain.key, a.index);
    if (outside !== null) return !this.refused(a, '', outside);
    this.pass('recorder');
    return true;
  }

  /** again judges an entry whose sequence number is taken. */
  async again(t, a) {
    try {
      await verifyRecorder(t.chain.key, a.entry);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.find(checkOf(err), 'failed', placeOf(a), err.detail);
      return;
    }
    const p = t.points.get(a.entry.seq);
    if (p === undefined || p.hash !== a.hash) {
      // A key that does not count here has not made its recorder say two things: whoever has it has.
      if (!this.counts(t.chain, a)) return;
      // SPEC: entry.md: two different texts for one sequence number are equivocation, for every verifier.
      this.find('chain', 'failed', placeOf(a), 'equivocation: the recorder has signed two texts for one sequence number');
      return;
    }
    // SPEC: entry.md: repeats of the identical text are benign, and the lowest index counts.
    this.pass('recorder');
    t.again++;
    a.repeat = true;
    if (a.index < p.index) p.index = a.index;
  }

  /** accept notes an entry that the chain was extended with. */
  accept(t, a) {
    const e = a.entry;
    const received = timeOf(e.received.time);
    this.pass('chain');
    a.accepted = true;
    t.points.set(e.seq, { index: a.index, hash: a.hash });
    t.ends.set(next(e), a.hash);
    const least = (old, now) => (old === undefined || now < old ? now : old);
    const greatest = (old, now) => (old === undefined || now > old ? now : old);
    t.from = least(t.from, received);
    t.until = greatest(t.until, received);
    t.first = least(t.first, a.index);
    t.last = greatest(t.last, a.index);
    e.events.forEach((ev, i) => this.event({ ...placeOf(a), seq: e.seq + i, event: i }, a.index, ev));
  }

  /** event notes what the verdict needs of an event. */
  event(where, index, ev) {
    const v = valueOf(ev);
    const mark = (kind, more = {}) => this.marks.push({ kind, track: where.track, seq: where.seq, ...more });
    switch (ev.type) {
      case 'session.open': case 'track.open':
        if (v.checkpoint !== undefined) this.embeds.push({ where, index, note: noteIn(v.checkpoint) });
        return;
      case 'session.roll':
        if (v.checkpoint !== undefined) this.embeds.push({ where, index, note: noteIn(v.checkpoint) });
        if (v.on_failure === 'spool') mark('spooled');
        if (v.why === 'restart') mark('restarted');
        return;
      case 'session.close':
        this.closed = v;
        this.closedAt = index;
        return;
      case 'action.intent': {
        this.intents++;
        const open = this.actions.get(v.action);
        if (open !== undefined) this.marks.push({ kind: 'open-action', ...open, action: v.action }); // one end will not tell of both
        this.actions.set(v.action, { track: where.track, seq: where.seq });
        return;
      }
      case 'action.result': case 'action.reject': case 'action.settle':
        this.actions.delete(v.action);
    }
  }

  /** say takes an event of a system session that speaks of this one. Its signature has been verified. */
  say(a, i) {
    const where = { ...placeOf(a), seq: a.entry.seq + i, event: i };
    const value = valueOf(a.entry.events[i]);
    const list = { admitted: this.admitted, verdict: this.verdicts, alert: this.alerts }[a.entry.events[i].type];
    list.push({ where, index: a.index, value });
  }

  /** judge says what was proven of the session. */
  async judge() {
    const r = { session: this.id, tracks: [], gaps: this.marks, alerts: this.alerts.map((a) => ({ index: a.index, alert: a.value.alert, severity: a.value.severity })) };
    const main = this.tracks.get('main');
    if (main === undefined) this.find('complete', 'incomplete', { session: this.id, track: 'main' }, "the session's main track is not here");
    for (const name of this.names()) this.judgeTrack(name, main);
    const late = this.judgeClose(r);
    this.judgeAdmitted();
    this.judgeVerdicts(r);
    await this.judgeEmbedded();
    this.judgeActions(r);
    this.fill(r);
    this.conclude(r, late);
    return r;
  }

  /** names lists the tracks, main first. */
  names() {
    return [...this.tracks.keys()].sort((a, b) => (a !== 'main') - (b !== 'main') || compare(a, b));
  }

  judgeTrack(name, main) {
    const t = this.tracks.get(name);
    if (t.broken) return;
    if (t.early.length > 0) {
      const a = t.early.reduce((x, y) => (y.entry.seq < x.entry.seq ? y : x));
      t.broken = true;
      this.find('chain', 'failed', placeOf(a),
        `hole: sequence numbers ${t.chain?.next ?? 0} to ${a.entry.seq - 1} are not here, and this entry follows them`);
      return;
    }
    if (main === undefined || main.chain === null) return;
    if (name !== 'main' && t.chain.main !== main.chain.first) {
      t.broken = true;
      this.find('tracks', 'failed', { index: t.first, session: this.id, track: name, seq: 0 },
        'track was opened for a session that begins otherwise (other-session)');
      return;
    }
    this.pass('tracks');
  }

  /** end compares a track with where somebody says that it ended, and tells whether the track is missing altogether. */
  end(where, who, end) {
    const t = this.tracks.get(end.track);
    if (t === undefined) return true;
    if (t.broken || t.chain === null) return false; // told already
    if (end.next > t.chain.next) {
      this.find('tracks', 'failed', where, `tail cut: ${who} says that track ${end.track} has ${end.next} events, here are ${t.chain.next}`);
      return false;
    }
    if (t.ends.get(end.next) !== end.head) {
      this.find('tracks', 'failed', where, `${who} names another end of track ${end.track} after ${end.next} events than its entries have`);
      return false;
    }
    this.pass('tracks');
    return false;
  }

  /** judgeClose compares session.close with the tracks, and tells whether anything came after it. */
  judgeClose(r) {
    let late = false;
    if (this.closed === null) return late;
    const where = { index: this.closedAt, session: this.id, track: 'main' };
    const named = new Set(['main']);
    for (const end of this.closed.tracks) {
      named.add(end.track);
      if (this.end(where, 'session.close', end) && (!end.lost || end.next > 0)) {
        r.gaps.push({ kind: 'missing-track', track: end.track });
        this.find('complete', 'incomplete', where, `track ${end.track}, which session.close names, is not here`);
      }
      if (end.lost) r.gaps.push({ kind: 'lost-track', track: end.track, seq: end.next });
      const t = this.tracks.get(end.track);
      if (t?.chain && t.chain.next > end.next) late = true;
    }
    for (const name of this.names()) {
      const t = this.tracks.get(name);
      if (named.has(name) || t.chain === null) continue;
      if (t.first > this.closedAt) late = true;
      else r.gaps.push({ kind: 'unnamed-track', track: name });
    }
    return late;
  }

  judgeAdmitted() {
    const answered = new Set();
    for (const a of this.admitted) {
      const name = a.value.track;
      const t = this.tracks.get(name);
      if (t === undefined) this.find('complete', 'incomplete', a.where, `track ${name}, which the log has admitted, is not here`);
      else if (t.chain === null) continue; // told already
      else if (t.chain.first !== a.value.open) this.find('admitted', 'failed', a.where, `the log has admitted another opening of track ${name} than the one here`);
      else {
        answered.add(name);
        this.pass('admitted');
      }
    }
    for (const name of this.names()) {
      const t = this.tracks.get(name);
      if (t.chain !== null && !answered.has(name)) {
        this.find('complete', 'incomplete', { index: t.first, session: this.id, track: name }, "the log's answer to the opening of the track (admitted) is not here");
      }
    }
  }

  judgeVerdicts(r) {
    let last = 0n;
    for (const v of this.verdicts) {
      for (const end of v.value.tracks) {
        if (this.end(v.where, "the log's verdict", end)) {
          this.find('complete', 'incomplete', v.where, `track ${end.track}, which the log's verdict names, is not here`);
        }
      }
      if (v.index >= last) {
        last = v.index;
        r.log_verdict = v.value.verdict;
      }
    }
  }

  /** judgeEmbedded checks the checkpoints that recorders say to have seen. They date an entry from below. */
  async judgeEmbedded() {
    for (const m of this.embeds) {
      m.checkpoint = await openCheckpoint(this.keys.trust, m.note);
      const wrong = this.keys.embedded(m.checkpoint, m.index);
      if (wrong !== null) this.find('embedded', this.keys.outcome(wrong), m.where, wrong.message);
      else {
        m.good = true;
        this.pass('embedded');
      }
    }
  }

  judgeActions(r) {
    const open = [...this.actions].sort(([, a], [, b]) => compare(a.track, b.track) || a.seq - b.seq);
    for (const [action, a] of open) r.gaps.push({ kind: 'open-action', ...a, action });
  }

  fill(r) {
    Object.assign(r, {
      agent: this.opened?.agent, privilege: this.opened?.privilege, outcome: this.closed?.outcome, events: 0, actions: this.intents,
    });
    for (const name of this.names()) {
      const t = this.tracks.get(name);
      if (t.chain === null) continue;
      r.events += t.chain.next;
      if (r.logged_from === undefined || t.from < r.logged_from) r.logged_from = t.from;
      if (r.logged_until === undefined || t.until > r.logged_until) r.logged_until = t.until;
      r.tracks.push(this.trackReport(name, t));
    }
  }

  trackReport(name, t) {
    const said = this.admitted.filter((a) => a.value.track === name && a.value.open === t.chain.first).sort((a, b) => compare(a.index, b.index))[0];
    const { enrolment } = t.chain;
    return {
      track: name, agent: t.chain.agent, signed_by: enrolment.holder, recorder: enrolment.key.name, enroller: enrolment.enroller.name,
      vantage: t.open.vantage, capture: t.open.capture, entries: t.points.size, repeats: t.again, events: t.chain.next, first_index: t.first,
      last_index: t.last, logged_from: t.from, logged_until: t.until, head: t.chain.head,
      admitted: said && { index: said.index, principal: said.value.principal, how: said.value.how, number: said.value.number },
    };
  }

  /** conclude draws the verdict. The log's word can only worsen it: it may know of what is not here. */
  conclude(r, late) {
    const gaveUp = this.verdicts.some((v) => v.value.verdict === 'abandoned');
    if (this.findings.some((f) => f.outcome === 'failed' || f.outcome === 'unmet')) {
      r.verdict = 'unproven';
      return;
    }
    if (this.closed === null) r.verdict = r.log_verdict === 'abandoned' ? 'abandoned' : 'open';
    else if (r.gaps.length > 0) r.verdict = 'interrupted';
    else r.verdict = late || gaveUp ? 'late' : 'complete';
    if (this.closed !== null && r.log_verdict !== 'abandoned' && verdicts.indexOf(r.log_verdict) > verdicts.indexOf(r.verdict)) r.verdict = r.log_verdict;
    const words = {
      interrupted: `the session was interrupted: ${r.gaps.length} gaps are named`, abandoned: 'the session was never closed, and the log gave it up',
      open: 'the session is not closed',
    }[r.verdict];
    if (words === undefined) this.pass('complete');
    else this.find('complete', 'incomplete', { session: this.id }, words);
  }
}

/** zeroHash is the previous hash of a track's first entry. */
export const zeroHash = btoa('\0'.repeat(32));

/** verifyRecorder refuses an entry that a key has not signed. */
export async function verifyRecorder(key, e) {
  if (!names(key, e.recorder)) throw refuse('other-recorder', "signed by another key than the track's recorder");
  if (!(await verifyPlain(key, e.bytes, e.recorder))) throw refuse('bad-signature', "the recorder's signature does not verify");
}

/** names tells whether a signature line names a key. */
export function names(key, line) {
  return key.name === line.name && key.id === line.id;
}

/** checkNext refuses what is not a track's next entry, but for number: that is so. */
function checkNext(chain, e) {
  if (chain.closed) throw refuse('track-closed', 'nothing follows the event that closed the track');
  if (e.prev !== chain.head) throw refuse('wrong-prev', "previous hash is not that of the track's last entry");
  if (!names(chain.key, e.recorder)) throw refuse('other-recorder', "signed by another key than the track's recorder");
}

function advance(chain, a) {
  chain.next = next(a.entry);
  chain.head = a.hash;
  chain.closed = a.entry.events.at(-1).type === 'session.close';
}
