// Custody records (docs/spec/evidence.md): who hands what to whom and why, in the words of whoever made the file. That the log
// knew of it before the file was written is checked; the words are not.

import { binary, canonicalBase64, hexOf, isUTF8, utf8 } from './bytes.mjs';
import { sha256 } from './crypt.mjs';
import { classes, idPattern } from './entry.mjs';
import { Refusal } from './keys.mjs';
import { valueOf } from './session.mjs';

const maxText = 500; // bytes
const maxEntries = 200_000;
// What could hide or reorder: control characters, separators of lines and paragraphs, bidirectional controls.
const forbidden = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** readCustody reads a record, a Uint8Array, in its one spelling. */
export function readCustody(bytes) {
  const text = binary(bytes);
  if (!isUTF8(text)) throw bad('not UTF-8');
  const lines = text.split('\n');
  if (lines.pop() !== '') throw bad('the last line does not end in a line feed');
  if (lines.shift() !== 'steno/custody/v1') throw bad('line 1: not "steno/custody/v1"');
  return new Lines(lines).read();
}

const bad = (why) => new Refusal(`custody record: ${why}`);

/** Lines takes the lines in their order. */
class Lines {
  constructor(lines) {
    Object.assign(this, { lines, at: 0 });
  }

  /** next is what follows a word in the next line; undefined if that begins otherwise. */
  next(word) {
    if (!this.lines[this.at]?.startsWith(`${word} `)) return undefined;
    return this.lines[this.at++].slice(word.length + 1);
  }

  read() {
    const c = {
      exhibit: this.one('exhibit', checkID), ...this.maybe('matter', checkID), made: this.one('made', checkTime),
      exporter: utf8(this.one('exporter', checkText)), ...this.maybe('approver', checkText), ...this.maybe('recipient', checkText),
      ...this.maybe('basis', checkText), disclosed: this.classes('disclosed').map((d) => d.class), withheld: this.classes('withheld'),
    };
    const [entries, hash] = this.one('entries', checkEntries).split(' ');
    this.one('nonce', (s) => (s.length === 24 && canonicalBase64(s)?.length === 16 ? '' : 'not 16 bytes in canonical base64'));
    if (this.at < this.lines.length) throw bad(`line ${this.at + 2}: it has no place here`);
    const both = c.withheld.find((w) => c.disclosed.includes(w.class));
    if (both !== undefined) throw bad(`${both.class} is both disclosed and withheld`);
    return { ...c, entries: Number(entries), entries_sha256: hash };
  }

  one(word, check) {
    const s = this.next(word);
    if (s === undefined) throw bad(`line ${this.at + 2}: not «${word} …»`);
    const wrong = check(s);
    if (wrong !== '') throw bad(`line ${this.at + 1}: ${word}: ${wrong}`);
    return s;
  }

  /** maybe is a member of a line that can be left out. */
  maybe(word, check) {
    return this.lines[this.at]?.startsWith(`${word} `) ? { [word]: utf8(this.one(word, check)) } : {};
  }

  /** classes reads lines of one class each. */
  classes(word) {
    const out = [];
    while (this.lines[this.at]?.startsWith(`${word} `)) {
      const s = this.one(word, () => '');
      const cutAt = s.indexOf(' ');
      const name = cutAt < 0 ? s : s.slice(0, cutAt);
      const reason = cutAt < 0 ? '' : s.slice(cutAt + 1);
      const wrong = cutAt < 0 ? '' : word === 'disclosed' ? 'a reason' : checkText(reason);
      if (wrong !== '') throw bad(`line ${this.at + 1}: ${word}: ${wrong}`);
      if (!classes.includes(name)) throw bad(`line ${this.at + 1}: ${word}: no class`);
      if (out.length > 0 && out.at(-1).class >= name) throw bad(`line ${this.at + 1}: ${word}: classes are not in ascending order, each once`);
      out.push(reason === '' ? { class: name } : { class: name, reason: utf8(reason) });
    }
    return out;
  }
}

const checkID = (s) => (idPattern.test(s) ? '' : 'not an id');

function checkText(s) {
  if (s === '' || s.length > maxText) return `not 1 to ${maxText} bytes`;
  const text = utf8(s);
  if (forbidden.test(text)) return 'a character that could hide or reorder others';
  return s.startsWith(' ') || s.endsWith(' ') ? 'a space at its beginning or end' : '';
}

function checkTime(s) {
  const wrong = 'not a time as 2026-11-24T16:00:00Z';
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/.test(s)) return wrong;
  const at = new Date(s);
  return !Number.isNaN(at.getTime()) && at.toISOString() === s.replace('Z', '.000Z') ? '' : wrong;
}

function checkEntries(s) {
  const p = /^(0|[1-9][0-9]{0,9}) [0-9a-f]{64}$/.exec(s);
  return p !== null && Number(p[1]) <= maxEntries ? '' : 'not a number and 64 hexadecimal digits';
}

/** A HandOver judges the custody record of a bundle: by the file, and by what the log said of it before there was a file. */
export class HandOver {
  constructor(v) {
    Object.assign(this, { v, record: null, hash: '', refused: null, leaves: [], events: [], shown: [] });
  }

  /** open reads the record, and reports what it says. */
  async open() {
    const { bundle, report } = this.v;
    if (bundle.custody === null) return;
    try {
      this.record = readCustody(bundle.custody);
    } catch (err) {
      if (!(err instanceof Refusal)) throw err;
      this.refused = err;
      return;
    }
    const hash = await sha256(bundle.custody);
    this.hash = btoa(hash);
    report.custody = { sha256: hexOf(hash), ...this.record, index: null };
  }

  /** entry counts a leaf of a session that the file names. */
  entry(l) {
    this.leaves.push(l.leafHash);
  }

  /** event takes a disclosure event of the log's, whose entry was verified. */
  event(l, i) {
    const value = valueOf(l.entry.events[i]);
    if (value.digest === this.hash) this.events.push({ index: l.index, ...value });
  }

  /** shows notes what a disclosure shows, if the record does not say that the file shows such. */
  shows(where, segments) {
    const s = this.record && segments.find((x) => x.known && !this.record.disclosed.includes(x.class));
    if (s) this.shown.push({ where, detail: `shows content of class ${s.class}, which the custody record does not disclose` });
  }

  async judge() {
    const { v, record } = this;
    if (v.bundle.custody === null) return;
    const before = v.findings.length;
    const wrong = (detail, where = {}) => v.find('custody', 'failed', { file: 'custody', ...where }, detail);
    if (record === null) {
      wrong(this.refused.message);
      return;
    }
    const hash = hexOf(await sha256(this.leaves.join('')));
    if (record.entries !== this.leaves.length || record.entries_sha256 !== hash) {
      wrong(`the record is of ${record.entries} entries with the hash ${record.entries_sha256}, and the file has ${this.leaves.length} entries of its sessions `
        + `with the hash ${hash}`);
    }
    if (this.events.length === 0) wrong('no entry of the log here says that this was handed over: none names the hash of the record');
    else this.recorded(wrong);
    for (const s of this.shown) v.find('custody', 'failed', s.where, s.detail);
    if (v.findings.length === before) v.pass('custody');
  }

  /** recorded compares the record with what the log said. */
  recorded(wrong) {
    const { report, bundle } = this.v;
    Object.assign(report.custody, { index: this.events[0].index, principal: this.events[0].principal });
    const sessions = new Set();
    for (const e of this.events) {
      const other = ['exhibit', 'matter'].find((x) => e[x] !== this.record[x]);
      if (other !== undefined) wrong(`the log recorded another ${other}`, { index: e.index });
      else if ([...(e.classes ?? [])].sort().join() !== this.record.disclosed.join()) {
        wrong('the log recorded other classes of content that are disclosed', { index: e.index });
      }
      for (const s of e.sessions) sessions.add(s);
    }
    const named = bundle.sessions.filter((s) => sessions.has(s)).length;
    if (named < bundle.sessions.length || named < sessions.size) {
      wrong(`the log says that ${sessions.size} sessions were handed over, the file has ${bundle.sessions.length}, and ${named} are the same`);
    }
  }

  notChecked() {
    if (this.v.bundle.custody === null) return { id: 'custody', why: 'who made this file for whom: it has no custody record' };
    return {
      id: 'custody-words',
      why: 'the words in the custody record: who made the file, who approved it, for whom, on what ground and why something is withheld is the word of '
        + 'whoever made it; the log knows as whom they were authenticated',
    };
  }
}
