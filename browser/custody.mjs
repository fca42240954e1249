// Custody records (docs/spec/evidence.md): who hands what to whom and why, in the words of whoever made the file. That the log
// knew of it before the file was written is checked; the words are not.

import { binary, canonicalBase64, hexOf, isUTF8, utf8 } from './bytes.mjs';
import { classes, idPattern } from './entry.mjs';
import { Refusal } from './keys.mjs';
import { digest } from './sha256.mjs';

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
  const c = new Lines(lines).read();
  return { ...c, hash: btoa(digest(bytes)) };
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
      exhibit: this.one('exhibit', checkID), matter: this.maybe('matter', checkID), made: this.one('made', checkTime),
      exporter: this.one('exporter', checkText), approver: this.maybe('approver', checkText), recipient: this.maybe('recipient', checkText),
      basis: this.maybe('basis', checkText), disclosed: this.classes('disclosed').map((d) => d.class), withheld: this.classes('withheld'),
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

  maybe(word, check) {
    return this.lines[this.at]?.startsWith(`${word} `) ? this.one(word, check) : '';
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
      out.push({ class: name, reason });
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
