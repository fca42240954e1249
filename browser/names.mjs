// Names in X.509 certificates (RFC 5280). Nothing here depends on what they say, and they must be well formed all the same.

import { cut, isUTF8 } from './bytes.mjs';
import { Der, Malformed, Unclear, tagOf, tags } from './der.mjs';

function demand(ok) {
  if (!ok) throw new Malformed('malformed name in a certificate');
}

/** readName sees that a Name is one, and gives its DER. */
export function readName(raw) {
  for (const name = new Der(raw).open(tags.sequence); !name.empty;) {
    for (const set = name.open(tags.set); !set.empty;) {
      const attribute = set.open(tags.sequence);
      attribute.oid();
      const { tag, content } = attribute.any();
      demand(isText(tag, content));
    }
  }
  return raw;
}

/** isText tells whether content is a string of its type: UTF8, Numeric, Printable, T61, IA5 or BMP. */
function isText(tag, s) {
  switch (tag) {
    case 0x0c: return isUTF8(s);
    case 0x12: return /^[0-9 ]*$/.test(s);
    case 0x13: return /^[A-Za-z0-9 '()+,\-./:=?*&]*$/.test(s);
    case 0x14: return true;
    case 0x16: return isASCII(s);
    case 0x1e: return s.length % 2 === 0 && !/^(?:[^]{2})*?(?:[\xd8-\xdf][^]|\xfd[\xd0-\xef]|\xff[\xfe\xff])/.test(s);
    default: return false;
  }
}

const isASCII = (s) => /^[\0-\x7f]*$/.test(s);

/** readNames reads the alternative names of the subject, which nothing here depends on. */
export function readNames(c, der) {
  c.names = der.left;
  let known = false;
  for (const list = der.open(tags.sequence); !list.empty;) {
    const { tag, content } = list.any();
    if (tag < 0x81 || (tag > 0x82 && tag < 0x86) || tag > 0x87) continue;
    known = true;
    if (tag === tagOf(7, false)) demand(content.length === 4 || content.length === 16);
    else demand(isASCII(content));
    if (tag === tagOf(6, false)) demand(isAddress(content));
  }
  return known;
}

/** isAddress tells whether an address is one, as far as Go's net/url minds. */
function isAddress(s) {
  const [url, fragment] = cut(s, '#');
  const escaped = (x) => !/%(?![0-9A-Fa-f]{2})/.test(x);
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:/.exec(url)?.[0] ?? '';
  let [path] = cut(url.slice(scheme.length), '?');
  if (/[\0-\x1f\x7f]/.test(url) || url.startsWith(':') || !escaped(fragment)) return false;
  if (!path.startsWith('/')) return scheme !== '' || (escaped(path) && !cut(path, '/')[0].includes(':'));
  if (path.startsWith('//') && (scheme !== '' || !path.startsWith('///'))) {
    const host = cut(path.slice(2), '/')[0];
    path = path.slice(2 + host.length);
    if (!escaped(host)) return false;
    if (/[@%[\]]|:.*:/.test(host)) throw new Unclear('a certificate has an address of a kind that this page does not judge');
    if (!/^[A-Za-z0-9\-_.~!$&'()*+,;=<>"]*(?::[0-9]*)?$/.test(host) || !isDomain(host)) return false;
  }
  return escaped(path);
}

const isDomain = (s) => /^(?:[!-\-/-~]+(?:\.[!-\-/-~]+)*)?$/.test(s);

/** readConstraints reads which names the certificates below may have. */
export function readConstraints(c, der) {
  const seq = der.open(tags.sequence);
  der.end();
  const trees = [seq.optional(tagOf(0)) ?? '', seq.optional(tagOf(1)) ?? ''];
  seq.end();
  demand(trees.join('') !== '');
  c.constraints = true;
  let known = true;
  for (const tree of trees) {
    for (const list = new Der(tree); !list.empty;) {
      const { tag, content } = list.open(tags.sequence).any();
      if (tag === 0x86 || (tag === 0x81 && content.includes('@'))) throw new Unclear('a certificate constrains names in a way that this page does not judge');
      else if (tag === 0x87) demand((content.length === 8 || content.length === 32) && /^\xff*[\0\x80\xc0\xe0\xf0\xf8\xfc\xfe]?\0*$/.test(content.slice(content.length / 2)));
      else if (tag === 0x81 || tag === 0x82) demand(isDomain(content.replace(/^\.(?=.)/, '')));
      else known = false;
    }
  }
  return known;
}

