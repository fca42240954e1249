// What a verification says, in the words and badges that people see. Nothing here touches a page.

import { base64Of, binary } from './bytes.mjs';
import { timeOf } from './enrolment.mjs';
import { payloadAt } from './disclosure.mjs';
import { mentions, valueOf } from './session.mjs';

export const badges = {
  verified: 'signatures and proofs hold, and the witnesses whom the trust file demands have seen it',
  'log-signed only': "signatures and proofs hold; the trust file demands no witnesses, so that the log's key alone vouches for the tree",
  pending: 'sound as far as it goes; something that is demanded is not here yet, or not met',
  redacted: 'content that is committed to and not, or not wholly, shown',
  failed: 'a signature, proof, link or byte is wrong: do not rely on it',
  'not checked': 'this page could not check it',
};

/** basis is the badge of what stands under the checkpoint and is right in itself. */
function basis(v) {
  const state = (id) => v.report.checks.find((c) => c.id === id)?.outcome;
  // One proof is for all: where it does not lead to the root, there is no telling of which.
  if (v.findings.some((f) => f.check === 'inclusion' && f.where.file === 'tree')) return 'not checked';
  if (state('witnesses') === 'not-checked') return 'not checked';
  if (['unmet', 'incomplete'].includes(state('witnesses')) || state('checkpoint') === 'unmet') return 'pending';
  return v.trust.needsWitnesses() ? 'verified' : 'log-signed only';
}

/** custodyView says of a custody record what stands in it, and what was checked of it. */
export function custodyView(v) {
  const { custody: c } = v.report;
  const { outcome, detail } = v.report.checks.find((x) => x.id === 'custody');
  const base = outcome === 'passed' ? basis(v) : outcome === 'failed' ? 'failed' : 'not checked';
  if (c === null) return { badge: base, checked: detail ?? 'it was not looked into', recorded: [], words: [], raw: binary(v.bundle.custody) };
  const withheld = c.withheld.map((w) => (w.reason === undefined ? w.class : `${w.class} (${w.reason})`)).join('; ');
  return {
    badge: base, raw: null,
    checked: outcome === 'passed'
      ? `the log recorded the hand-over before this file was made, at log index ${c.index}, with this exhibit, this matter, these classes and the sessions of `
        + `this file; the record counts the ${c.entries} entries of them that are here; nothing is shown of a class that it does not disclose`
      : outcome === 'failed' ? detail : 'nothing',
    recorded: rowsOf([['exhibit', c.exhibit], ['matter', c.matter], ['disclosed', c.disclosed.join(', ') || 'nothing'],
      ['handed over by', c.principal === undefined ? undefined : `${c.principal}, as the log authenticated them, by its word`]]),
    words: rowsOf([['made', c.made], ['exporter', c.exporter], ['approver', c.approver], ['recipient', c.recipient], ['basis', c.basis],
      ['withheld', withheld || 'nothing']]),
  };
}

const rowsOf = (pairs) => pairs.filter(([, text]) => text !== undefined);

/** badgeOf is the badge of the file as a whole. */
export function badgeOf(v) {
  switch (v.report.verdict) {
    case 'verified': return basis(v);
    case 'failed': return 'failed';
    case 'policy-unmet': case 'incomplete': return 'pending';
    default: return 'not checked';
  }
}

/** headline says what the exit code says. */
export const headline = (report) => ({
  verified: 'VERIFIED. The record is authentic, whole, and was not changed since it was logged.',
  'policy-unmet': 'NOT WHAT WAS DEMANDED. No signature and no proof is wrong; see below what is not met.',
  'not-checked': 'NOT WHOLLY CHECKED HERE. What this page can check is right; what it can\'t is demanded. Use steno-verify.',
  incomplete: 'SOUND AS FAR AS IT GOES, AND INCOMPLETE. Nothing was changed; see below what is missing.',
  unusable: 'NOT JUDGED. There was nothing to verify, or nothing to verify it with.',
})[report.verdict] ?? 'FAILED. This is not evidence of what it claims. Do not rely on it.';

/** meaning says what the verdict of a session means. */
export const meaning = (verdict) => ({
  complete: 'closed by its recorder; every track it names is here, from the first event to the last',
  late: 'closed; part of it was recorded after the session had been given up or closed',
  interrupted: 'closed, with gaps that are named below',
  abandoned: 'never closed: the log stopped hearing from its recorder',
  open: 'not closed in this file: what came after is not known',
})[verdict] ?? 'something of it failed to verify, or rests on a compromised key alone: nothing is proven of the session. '
    + 'An event that is marked verified below holds by itself, and no more';

/** worth says what a signature by the holder of a track's key is worth. */
export const worth = (t) => ({
  agent: "this is the agent's own account of itself",
  gateway: `this is what a gateway in front of the agent recorded (${t.vantage})`,
})[t.signed_by] ?? 'this is the word of whoever operates the log, who could have written anything here at the time';

/** gapText says what is missing. */
export function gapText(g) {
  const kinds = {
    'open-action': 'an action was begun, and how it ended was not recorded', 'lost-track': 'a recorder could not be heard at the end',
    'missing-track': 'a track that the session names is not in this file',
    'unnamed-track': "a track that the session's close does not name, so that nothing says where it ended",
    spooled: 'actions went on while the log could not be reached', restarted: 'a recorder was restarted',
  };
  return [
    `${kinds[g.kind] ?? g.kind}${g.track === undefined ? '' : `: track ${g.track}`}`, g.seq !== undefined && `event ${g.seq}`,
    g.action !== undefined && `action ${g.action}`,
  ].filter(Boolean).join(', ');
}

/** placeText says where something was found. */
export function placeText(w) {
  return [
    w.file !== undefined && `file ${w.file}`, w.index !== undefined && `log index ${w.index}`, w.session !== undefined && `session ${w.session}`,
    w.track !== undefined && `track ${w.track}`, w.seq !== undefined && `sequence number ${w.seq}`, w.event !== undefined && `event ${w.event}`,
    w.member !== undefined && `member ${w.member}`, w.offset !== undefined && `byte ${w.offset}`,
  ].filter(Boolean).join(', ');
}

export const checkText = {
  bundle: 'file intact in every byte', checkpoint: 'checkpoint signed by a pinned key of the log',
  witnesses: 'operators of pinned witnesses that saw it, as the trust file demands', range: 'leaves of the range that the file names, which are all here',
  inclusion: 'leaves proven to stand in the log',
  entries: 'entries well formed and made for this log', received: 'receipts signed by a pinned key of the log',
  enrolment: "recorders' keys enrolled by a pinned enroller, for the agent and time", recorder: 'entries signed by the enrolled key',
  chain: 'links of chains, without hole or second text', tracks: 'ends and bindings of tracks that agree',
  system: "entries of the log's own, signed by a pinned key", admitted: 'openings that the log has answered',
  embedded: 'checkpoints that recorders saw', anchors: 'time-stamp tokens that count, by pinned authorities',
  time: 'sessions whose end as many authorities bound as is demanded, at least one, and of whose clocks none is proven wrong', blobs: 'pieces of sealed content that are those the entries name',
  disclosures: 'disclosures that match their commitments', custody: 'custody records that are right about the file, and that the log knew of',
  complete: 'sessions that are whole', policy: 'tracks that are signed as was demanded',
};

/** ownEntries is where timelines have the entries of the log's own that are of no session, in a file that is of a range. */
export const ownEntries = '';

/**
 * timelines lists what is shown of each session: its events and what the log says of it, by their place in the log. What a row
 * says is made when it is looked at: there can be many.
 */
export function timelines(v) {
  if (v.report.checkpoint === undefined) return new Map();
  const base = basis(v);
  const found = new Map();
  for (const f of v.findings) {
    if (f.where.index === undefined || ['disclosures', 'custody'].includes(f.check) || f.outcome === 'incomplete') continue;
    if (found.get(f.where.index) !== 'failed') found.set(f.where.index, f.outcome);
  }
  const shown = new Map(v.disclosed.map((d) => [`${d.index} ${d.event} ${d.slot}`, d]));
  const blobs = badBlobs(v);
  const rows = new Map(v.report.sessions.map((s) => [s.session, []]));
  if (v.bundle.range !== null) rows.set(ownEntries, []);
  for (const l of v.leaves) {
    if (l.entry === null) continue;
    const badge = leafBadge(l, found.get(l.index), base);
    l.entry.events.forEach((ev, i) => {
      const of = l.entry.track === 'log' ? rows.get(mentions(ev)) ?? rows.get(ownEntries) : rows.get(l.entry.session);
      of?.push({ index: l.index, track: l.entry.track, row: () => rowOf(l, i, badge, shown, blobs) });
    });
  }
  return rows;
}

function rowOf(l, i, badge, shown, blobs) {
  const ev = l.entry.events[i];
  const value = valueOf(ev);
  return {
    leaf: l, seq: l.entry.seq + i, index: l.index, track: l.entry.track, type: ev.type, received: timeOf(l.entry.received.time), badge, repeat: l.repeat,
    members: members(value), payloads: payloadsOf(value).map((slot) => payloadView(l, i, slot, shown.get(`${l.index} ${i} ${slot}`), badge, blobs)),
  };
}

function leafBadge(l, finding, base) {
  if (finding === 'unmet' || finding === 'not-checked') return 'pending';
  if (finding === 'failed' || l.wrong) return 'failed';
  if (!l.accepted && !l.repeat) return 'not checked'; // it follows on something that failed
  return base;
}

/** badBlobs are the hashes of blobs that are not what the entries name. */
function badBlobs(v) {
  const names = v.findings.filter((f) => f.check === 'blobs' && f.where.file !== undefined).map((f) => f.where.file.slice('blob/'.length));
  return new Set(names.map(base64Of));
}

const isPayload = (x) => typeof x === 'object' && x !== null && (x.parts !== undefined || (x.commitment !== undefined && x.blobs !== undefined));

/** payloadsOf lists the slots of an event's payloads. */
function payloadsOf(value, path = '') {
  return Object.entries(value).flatMap(([name, x]) => {
    if (isPayload(x)) return [`${path}${name}`];
    return typeof x === 'object' && x !== null && !Array.isArray(x) ? payloadsOf(x, `${path}${name}/`) : [];
  });
}

function payloadView(leaf, event, slot, disclosed, badge, bad) {
  const payload = payloadAt(valueOf(leaf.entry.events[event]), slot);
  const blobs = (payload.parts ?? [payload]).flatMap((p) => p.blobs);
  const out = { slot, media: (payload.parts ?? [payload])[0].media, classes: [...new Set(blobs.map((b) => b.class))], segments: null, wrong: '', badge: 'redacted' };
  if (disclosed?.wrong) Object.assign(out, { wrong: disclosed.wrong, badge: 'failed' });
  else if (disclosed !== undefined) {
    out.segments = disclosed.shown.segments;
    if (out.segments.every((s) => s.known)) out.badge = badge;
  }
  if (blobs.some((b) => bad.has(b.sha256))) Object.assign(out, { wrong: 'a sealed piece in this file is not the one that the entry names', badge: 'failed' });
  return out;
}

/** runs joins segments that stand next to each other: {hidden: n} or {bytes}. */
export function runs(segments) {
  const out = [];
  for (const s of segments) {
    const last = out.at(-1);
    if (s.known && last?.bytes !== undefined) last.bytes.push(s.bytes);
    else if (s.known) out.push({ bytes: [s.bytes] });
    else if (last?.hidden !== undefined) last.hidden++;
    else out.push({ hidden: 1 });
  }
  return out.map((r) => (r.hidden === undefined ? { bytes: r.bytes.join('') } : r));
}

const apart = new Set(['event', 'time', 'enrolment', 'checkpoint', 'keys', 'mac']);

/** members are those of an event that say something by themselves, as pairs of name and text. */
function members(value) {
  return Object.entries(value).filter(([name, x]) => !apart.has(name) && !isPayload(x)).map(([name, x]) => [name, flat(x)]).filter(([, s]) => s !== '');
}

function flat(x) {
  if (Array.isArray(x)) return x.map(flat).filter((s) => s !== '').join('; ');
  if (typeof x !== 'object' || x === null) return String(x);
  if (x.seq !== undefined && x.track !== undefined && Object.keys(x).length === 2) return `${x.track}/${x.seq}`;
  return Object.entries(x).filter(([, y]) => !isPayload(y)).map(([name, y]) => `${name} ${flat(y)}`).join(', ');
}
