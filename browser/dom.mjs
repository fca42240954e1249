// Nodes of the page. Every one is made by el, whose strings are text and whose unseen characters are made visible: there is no
// other way from a file to the page.

import { noteIn } from './enrolment.mjs';
import { visible } from './safe.mjs';
import { badges } from './view.mjs';

/** el makes an element. Strings among its children are shown, not read as markup; null and false are left out. */
export function el(name, attributes, ...children) {
  const [tag, ...classes] = name.split('.');
  const e = document.createElement(tag);
  if (classes.length > 0) e.className = classes.join(' ');
  for (const [k, v] of Object.entries(attributes ?? {})) e.setAttribute(k, v);
  append(e, children);
  return e;
}

const plain = /^[ -~]*$/; // characters that are what they look like, as most are: there is nothing to make visible

/** append adds children as el does. */
export function append(e, children) {
  for (const c of children.flat(3)) {
    if (c === null || c === undefined || c === false) continue;
    if (c instanceof Node) e.append(c);
    else if (typeof c === 'string' && plain.test(c)) e.append(c);
    else for (const p of pieces(typeof c === 'object' && c.raw !== undefined ? c.raw : noteIn(String(c)))) e.append(p); // there can be too many for one call
  }
}

// Words that are written from right to left. Each run stands by itself, so that numbers beside it keep their order.
const rightToLeft = /([\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]+(?: [\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]+)*)/u;

function isolated(text) {
  const e = document.createElement('bdi');
  e.textContent = text;
  return e;
}

/** pieces are nodes that show a binary string. After a line feed that was written out stands a real one. */
function pieces(s) {
  return visible(s).flatMap((p) => {
    if (p.text !== undefined) return p.text.split(rightToLeft).map((part, i) => (i % 2 === 1 ? isolated(part) : document.createTextNode(part)));
    const e = document.createElement('span');
    e.className = 'escape';
    e.textContent = p.escape;
    return p.escape === '\\n' ? [e, document.createTextNode('\n')] : [e];
  });
}

/** badge shows one of the badges. */
export const badge = (name) => el(`span.badge.${name.replaceAll(' ', '-')}`, { title: badges[name] }, name);

/** at shows a time, given as RFC 3339 in UTC, and its place for the time in the reader's zone. */
export function at(time) {
  return el('time', { datetime: time }, el('span.utc', null, time.replace('T', ' ').replace('Z', ' UTC')), el('span.zone'));
}

/** digest shows 64 hexadecimal digits in groups, as people compare them. */
export function digest(hex) {
  return el('p.digest', { 'data-sha256': hex }, 'SHA-256 ', el('code', null, hex.match(/.{1,8}/g).map((g) => el('span', null, g))));
}
