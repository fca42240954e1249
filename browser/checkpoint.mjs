// What the pinned policy makes of a checkpoint: see package trust, OpenCheckpoint.

import { compare, utf8 } from './bytes.mjs';
import { Refusal, openNote, parseCheckpoint, typeNames, types } from './keys.mjs';
import { satisfied } from './policy.mjs';
import { windowRefusal } from './trust.mjs';

const maxNote = 64 << 10;

/**
 * openCheckpoint reads and judges a checkpoint, a binary string. err says why it is not the log's, or is null; where err is
 * about a window, and where it is null, the rest is there:
 *
 *   cosigned   cosignatures that verify by keys that count
 *   unchecked  lines of ML-DSA-44, which is not checked here
 *   every      cosigned, with those that were not checked
 *   witnessed  quorum and requirements are met by what was checked
 *   missing    why they are not, in words
 *   open       they would be met if what is unchecked were right
 *   early      they are not met, nor would be if all counted that is here of pinned witnesses: the rest can still come
 */
export async function openCheckpoint(t, note) {
  const out = { size: 0n, root: '', cosigned: [], unchecked: [], every: [], witnessed: false, open: false, early: false, missing: '', err: null };
  try {
    if (note.length > maxNote) throw new Refusal(`checkpoint of ${note.length} bytes, at most ${maxNote}`);
    const n = await openNote(note, t.checkpointKeys);
    const c = parseCheckpoint(n.text);
    if (c.origin !== t.origin) throw new Refusal("its first line is another origin than the log's that is pinned");
    Object.assign(out, { size: c.size, root: c.root });
    judge(t, n, out);
  } catch (err) {
    if (!(err instanceof Refusal)) throw err;
    out.err = new Refusal(`checkpoint: ${err.message}`, { window: err.window, at: err.at });
  }
  return out;
}

function judge(t, n, out) {
  const found = (lines, key) => lines.find((l) => l.key === key);
  const not = [];
  const maybe = []; // cosignatures that were not checked
  for (const w of t.policy.witnesses) {
    const line = found(n.verified, w.key) ?? found(n.unchecked, w.key);
    if (line === undefined) continue;
    const pq = w.key.type === types.mldsa;
    const outside = t.countsFor('witness', w.key, out.size);
    if (outside !== null) {
      not.push({ witness: w.name, pq, outside });
      continue;
    }
    const c = {
      witness: w.name, operator: t.operators.get(w.name), key: `${w.key.name}+${w.key.id}`, algorithm: typeNames[w.key.type], time: line.time,
      pq,
    };
    (n.verified.includes(line) ? out.cosigned : maybe).push(c);
  }
  const signed = [...n.verified, ...n.unchecked].filter((l) => t.policy.logs.includes(l.key)).map((l) => ({
    key: l.key, checked: n.verified.includes(l), window: t.windowOf('log', l.key), outside: t.countsFor('log', l.key, out.size),
  }));
  for (const l of n.unchecked) out.unchecked.push(`${utf8(l.key.name)}+${l.key.id}`);
  const every = t.policy.witnesses.flatMap((w) => [...out.cosigned, ...maybe].filter((c) => c.witness === w.name));
  out.every = every;
  out.missing = missing(t, out.cosigned, not, signed.filter((s) => s.checked)).why;
  out.witnessed = out.missing === '';
  const all = missing(t, every, not, signed);
  out.open = !out.witnessed && all.why === '';
  out.early = all.early;
  judgeSigned(t, signed, out);
}

/** judgeSigned demands an Ed25519 signature of the log's by a key that counts, or that the quorum bears out. */
function judgeSigned(t, signed, out) {
  let outside = null;
  let unseen = null;
  for (const s of signed) {
    if (s.key.type !== types.ed25519) continue;
    if (s.outside !== null) outside = s.outside;
    else if (s.window?.compromised && !(out.witnessed && t.needsWitnesses())) unseen = windowRefusal(s.window, out.size);
    else return;
  }
  throw unseen ?? outside ?? new Refusal('no Ed25519 signature of the log');
}

/** missing says why there is not what policy demands beyond, or '', and whether it is witnesses' signatures that are not here at all. */
function missing(t, cosigned, not, signed) {
  const by = (list, counts) => satisfied(t.policy, (w) => list.some((c) => c.witness === w && counts(c)));
  const met = (counts) => by(cosigned, counts);
  const unmet = (why, counts) => ({ why, early: !by([...cosigned, ...not], counts) });
  if (!met(() => true)) return unmet(`the quorum "${utf8(t.policy.quorum)}" is not met: ${names(cosigned, not)}`, () => true);
  for (const r of t.config.require) {
    // Without witnesses nothing dates a checkpoint.
    if (t.needsWitnesses() && met((c) => c.time < r.from)) continue;
    if (!signed.some((s) => s.outside === null && s.key.type === types.mldsa && (!s.window?.compromised || t.needsWitnesses()))) {
      return { why: `from ${r.day} on the log signs with ml-dsa-44 as well, and this is not shown to be older`, early: false };
    }
    if (!met((c) => c.pq)) return unmet(`from ${r.day} on the quorum is one of ml-dsa-44, and this is not shown to be older`, (c) => c.pq);
  }
  return { why: '', early: false };
}

function names(cosigned, not) {
  let s = 'no pinned witness has cosigned';
  if (cosigned.length > 0) s = `cosigned by ${cosigned.map((c) => utf8(c.witness)).join(', ')} alone`;
  else if (not.length > 0) s = 'no cosignature counts';
  return [s, ...not.map((n) => n.outside.message)].join('; ');
}

/**
 * quorumTimes are by when the witnesses that policy demands had all cosigned, by their clocks in seconds since 1970, and since when they
 * had, as package trust has both; or null. With unchecked, as if what was not checked were right.
 */
export function quorumTimes(t, cp, unchecked = false) {
  const list = unchecked ? cp.every : cp.cosigned;
  if (!t.needsWitnesses() || !(cp.witnessed || (unchecked && cp.open))) return null;
  const times = list.map((c) => c.time).sort(compare);
  const met = (counts) => satisfied(t.policy, (w) => list.some((c) => c.witness === w && counts(c)));
  const until = times.find((at) => met((c) => c.time <= at));
  return until === undefined ? null : { since: times.findLast((at) => at <= until && met((c) => c.time >= at)), until };
}

/** lastSecond is the last that can be written: 9999-12-31T23:59:59Z. Whatever later time a witness claims is taken for it. */
export const lastSecond = 253402300799n;

/** witnessTime writes a witness's time. */
export const witnessTime = (t) => new Date(Number(t < lastSecond ? t : lastSecond) * 1000).toISOString().replace('.000Z', 'Z');

/** infoOf says what there is to say of a checkpoint, as reports have it. */
export function infoOf(t, cp) {
  return {
    size: cp.size, root: btoa(cp.root), witnessed: cp.witnessed && t.needsWitnesses(),
    cosigned: cp.cosigned.map((c) => ({
      witness: utf8(c.witness), operator: utf8(c.operator), key: utf8(c.key), algorithm: c.algorithm,
      time: witnessTime(c.time),
    })),
  };
}
