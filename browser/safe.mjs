// Text that strangers wrote, made fit to be looked at: what an agent, a tool or a forger wrote must not hide, reorder what
// stands beside it, or look like the page's own words.

// Control and format characters, white space other than the space, private, unassigned and default-ignorable characters.
const unseen = /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;
const mark = /\p{M}/u;
const maxMarks = 4; // that may follow one another: more are stacked to paint over other lines

/**
 * visible splits a binary string into pieces {text} that can be shown as they are and {escape} that stand for what can't be
 * seen: \u{202e}, \xff for a byte that is no UTF-8, \n. Two strings have the same pieces only if they are the same.
 */
export function visible(s) {
  const out = [];
  let text = '';
  let marks = 0;
  const escape = (e) => {
    if (text !== '') out.push({ text });
    text = '';
    out.push({ escape: e });
  };
  for (let i = 0; i < s.length;) {
    const [code, n] = rune(s, i);
    i += n;
    const c = code < 0 ? '' : String.fromCodePoint(code);
    const isMark = code > 0x2ff && mark.test(c);
    marks = isMark ? marks + 1 : 0;
    if (code < 0) escape(`\\x${s.charCodeAt(i - 1).toString(16).padStart(2, '0')}`);
    else if (c === '\n') escape('\\n');
    else if (c === '\t') escape('\\t');
    else if (c !== ' ' && (marks > maxMarks || unseen.test(c))) escape(`\\u{${code.toString(16)}}`);
    else text += c;
  }
  if (text !== '') out.push({ text });
  return out;
}

/** rune decodes the UTF-8 at i of a binary string: code point and length, or −1 and 1. */
function rune(s, i) {
  const c = s.charCodeAt(i);
  if (c < 0x80) return [c, 1];
  const n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
  if (c < 0xc2 || c > 0xf4 || i + n > s.length) return [-1, 1];
  let code = c & (0xff >> (n + 1));
  for (let k = 1; k < n; k++) {
    const d = s.charCodeAt(i + k);
    if ((d & 0xc0) !== 0x80) return [-1, 1];
    code = code * 64 + (d & 0x3f);
  }
  const least = [0, 0, 0x80, 0x800, 0x10000][n];
  if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return [-1, 1];
  return [code, n];
}
