// X.509 certificates (RFC 5280) and what is signed by their keys. What is read and refused is what Go's crypto/x509 reads and
// refuses, so that both verifiers say the same of a token; see there for why it is as lenient as it is. Everything is a binary
// string; times are nanoseconds since 1970.

import { binary, bytesOf } from './bytes.mjs';
import { Der, Malformed, Unclear, instant, number, rightAligned, second, tagOf, tags } from './der.mjs';
import { readConstraints, readName, readNames } from './names.mjs';

const oids = {
  rsa: '1.2.840.113549.1.1.1', pss: '1.2.840.113549.1.1.10', mgf1: '1.2.840.113549.1.1.8', dsa: '1.2.840.10040.4.1', ec: '1.2.840.10045.2.1',
  ed25519: '1.3.101.112',
};
export const hashes = { '2.16.840.1.101.3.4.2.1': 256, '2.16.840.1.101.3.4.2.2': 384, '2.16.840.1.101.3.4.2.3': 512 };
export const pkcs1 = { '1.2.840.113549.1.1.11': 256, '1.2.840.113549.1.1.12': 384, '1.2.840.113549.1.1.13': 512 };
export const ecdsa = { '1.2.840.10045.4.3.2': 256, '1.2.840.10045.4.3.3': 384, '1.2.840.10045.4.3.4': 512 };

// The curves y² = x³ − 3x + b over the prime p.
const curves = {
  '1.3.132.0.33': { name: 'P-224', bytes: 28, p: 2n ** 224n - 2n ** 96n + 1n, b: 0xb4050a850c04b3abf54132565044b0b7d7bfd8ba270b39432355ffb4n },
  '1.2.840.10045.3.1.7': {
    name: 'P-256', bytes: 32, p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
  },
  '1.3.132.0.34': {
    name: 'P-384', bytes: 48, p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  },
  '1.3.132.0.35': {
    name: 'P-521', bytes: 66, p: 2n ** 521n - 1n,
    b: 0x0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
  },
};

function demand(ok) {
  if (!ok) throw new Malformed('malformed certificate');
}

/** algorithm reads an AlgorithmIdentifier: params is null where they are absent. */
export function algorithm(der) {
  const out = identifier(der.content(tags.sequence));
  out.rest.end();
  return out;
}

function identifier(bytes) {
  const rest = new Der(bytes);
  return { oid: rest.oid(), params: rest.empty ? null : rest.any().raw, rest };
}

/** plain says that there are no parameters, in either of the two spellings in use. */
export const plain = (a) => a.params === null || a.params === '\x05\0';

/** hashOf is the hash that an algorithm names, in bits; undefined for any but the three that are accepted: SHA-1 least of all. */
export const hashOf = (a) => (plain(a) ? hashes[a.oid] : undefined);

/**
 * pssHash is the hash that parameters of RSASSA-PSS name for hashing and for MGF1, with a salt of its length: the only use there is.
 * SPEC: RFC 4056 3, RFC 4055 3.1: the hash algorithm of MGF1 is the same as hashAlgorithm; the value of trailerField MUST be 1.
 */
export function pssHash(params) {
  try {
    const all = new Der(params ?? '');
    const seq = all.open(tags.sequence);
    const [hash, mgf, salt] = [seq.open(tagOf(0)), seq.open(tagOf(1)), seq.open(tagOf(2))];
    const h = algorithm(hash);
    const m = mgf.open(tags.sequence);
    const oid = m.oid();
    const of = algorithm(m);
    const length = salt.int64();
    for (const d of [all, seq, hash, mgf, m, salt]) d.end();
    return oid === oids.mgf1 && of.oid === h.oid && plain(of) && BigInt(hashOf(h) ?? 0) === 8n * length ? hashOf(h) : undefined;
  } catch (err) {
    if (err instanceof Malformed) return undefined;
    throw err;
  }
}

/** scheme is how a certificate is signed, or null if that is not accepted. */
function scheme(a) {
  if (pkcs1[a.oid]) return { kind: 'rsa-pkcs1', hash: pkcs1[a.oid] };
  if (ecdsa[a.oid]) return { kind: 'ecdsa', hash: ecdsa[a.oid] };
  const hash = a.oid === oids.pss ? pssHash(a.params) : undefined;
  return hash === undefined ? null : { kind: 'rsa-pss', hash };
}

/** readCertificate reads a certificate, which is all of its bytes. */
export function readCertificate(raw) {
  const all = new Der(raw);
  const outer = all.open(tags.sequence);
  all.end();
  const c = {
    raw, tbs: outer.element(tags.sequence), ca: null, usage: 0, purposes: [], unknown: [], subjectKey: '', issuerKey: '', names: null,
    constraints: false, policies: false, extensions: new Map(),
  };
  const tbs = new Der(c.tbs).open(tags.sequence);
  const version = tbs.is(tagOf(0)) ? onlyInteger(tbs.open(tagOf(0))) : 0n;
  demand(version >= 0n && version <= 2n);
  c.version = Number(version) + 1;
  c.serial = tbs.integer();
  demand(c.serial >= 0n);
  const signed = tbs.content(tags.sequence);
  // SPEC: RFC 5280 4.1.1.2: This field MUST contain the same algorithm identifier as the signature field in the sequence tbsCertificate.
  demand(outer.content(tags.sequence) === signed);
  c.scheme = scheme(identifier(signed));
  c.issuer = readName(tbs.element(tags.sequence));
  const validity = tbs.open(tags.sequence);
  [c.from, c.until] = [readTime(validity), readTime(validity)];
  c.subject = readName(tbs.element(tags.sequence));
  c.spki = tbs.element(tags.sequence);
  c.key = readKey(new Der(c.spki).open(tags.sequence));
  if (c.version > 1) readExtensions(c, tbs);
  c.signature = rightAligned(outer.bits());
  return c;
}

function onlyInteger(der) {
  const n = der.int64();
  der.end();
  return n;
}

/** readTime reads a Time. SPEC: RFC 5280 4.1.2.5.1: where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY. */
function readTime(der) {
  const { tag, content } = der.any();
  const p = tag === tags.time ? /^(\d{14})(Z|[+-]\d{4})$/.exec(content) : tag === tags.utcTime && /^(\d{10}|\d{12})(Z|[+-]\d{4})$/.exec(content);
  demand(p);
  const [digits, zone] = [tag === tags.time ? p[1] : (p[1] < '50' ? '20' : '19') + p[1].padEnd(12, '0'), p[2]];
  const at = instant(digits);
  demand(at !== null);
  if (zone === 'Z') return at;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(3))];
  demand(hours <= 24 && minutes < 60 && hours + minutes > 0);
  return at - BigInt(`${zone[0]}${60 * hours + minutes}`) * 60n * second;
}

/** readKey reads a public key. A kind that no certificate is accepted with is 'other'. */
function readKey(spki) {
  const a = identifier(spki.content(tags.sequence));
  const bits = rightAligned(spki.bits());
  switch (a.oid) {
    case oids.rsa: {
      demand(a.params === '\x05\0');
      const key = new Der(bits).open(tags.sequence);
      const [n, e] = [key.integer(), key.int64()];
      demand(n > 0n && e > 0n);
      return { kind: 'rsa', n, e, size: n.toString(2).length };
    }
    case oids.ec: {
      const curve = curves[new Der(a.params ?? '').oid()];
      demand(curve !== undefined && onCurve(curve, bits));
      return { kind: 'ec', curve: curve.name, bytes: curve.bytes, point: bits };
    }
    case oids.dsa: {
      const p = new Der(a.params ?? '').open(tags.sequence);
      demand([new Der(bits).integer(), p.integer(), p.integer(), p.integer()].every((x) => x > 0n));
      break;
    }
    case oids.ed25519:
      demand(a.params === null && bits.length === 32);
  }
  return { kind: 'other' };
}

/** onCurve tells whether bytes are a point of a curve, in the form that is not compressed. */
function onCurve({ bytes, p, b }, point) {
  if (point.length !== 1 + 2 * bytes || point[0] !== '\x04') return false;
  const [x, y] = [number(point.slice(1, 1 + bytes)), number(point.slice(1 + bytes))];
  return x < p && y < p && (y * y - (x * x * x - 3n * x + b)) % p === 0n;
}

function readExtensions(c, tbs) {
  tbs.optional(tagOf(1, false)); // unique identifiers
  tbs.optional(tagOf(2, false));
  if (c.version < 3 || !tbs.is(tagOf(3))) return;
  for (const list = tbs.open(tagOf(3)).open(tags.sequence); !list.empty;) {
    const der = list.open(tags.sequence);
    const oid = der.oid();
    const critical = der.is(tags.boolean) && der.boolean();
    // SPEC: RFC 5280 4.2: A certificate MUST NOT include more than one instance of a particular extension.
    demand(!c.extensions.has(oid));
    c.extensions.set(oid, { critical, value: der.octets() });
  }
  for (const [oid, { critical, value }] of c.extensions) {
    const known = Object.hasOwn(readers, oid) ? readers[oid](c, new Der(value), critical) !== false : false;
    if (critical && !known) c.unknown.push(oid);
  }
}

// What extensions say, by object identifier. A reader gives false for what it does not know.
const readers = {
  '2.5.29.14': (c, der, critical) => { // SPEC: RFC 5280 4.2.1.2: Conforming CAs MUST mark this extension as non-critical.
    demand(!critical);
    c.subjectKey = der.octets();
  },
  '2.5.29.15': (c, der) => {
    const { length, bytes } = der.bits();
    for (let i = 0; i < Math.min(9, length); i++) if ((bytes.charCodeAt(i >> 3) >> (7 - (i & 7))) & 1) c.usage |= 1 << i;
  },
  '2.5.29.17': readNames,
  '2.5.29.19': (c, der) => {
    const seq = der.open(tags.sequence);
    const is = seq.is(tags.boolean) && seq.boolean();
    const length = seq.is(tags.integer) ? seq.int64() : null;
    demand(length === null || length >= 0n);
    c.ca = { is, length };
  },
  '2.5.29.30': readConstraints,
  '2.5.29.31': (c, der) => {
    for (const points = der.open(tags.sequence); !points.empty;) {
      const name = points.open(tags.sequence).optional(tagOf(0));
      if (name === null) continue;
      for (const full = new Der(name).open(tagOf(0)); full.is(tagOf(6, false));) full.any();
    }
  },
  '2.5.29.32': (c, der) => {
    const seen = new Set();
    for (const list = der.open(tags.sequence); !list.empty;) {
      const oid = list.open(tags.sequence).content(tags.oid);
      demand(!seen.has(oid) && /^(?:(?!\x80)[\x80-\xff]*[\0-\x7f])+$/.test(oid));
      seen.add(oid);
    }
  },
  '2.5.29.33': (c, der) => {
    for (const list = der.open(tags.sequence); !list.empty; c.policies = true) {
      const mapping = list.open(tags.sequence);
      mapping.content(tags.oid);
      mapping.content(tags.oid);
    }
  },
  '2.5.29.35': (c, der, critical) => { // SPEC: RFC 5280 4.2.1.1: Conforming CAs MUST mark this extension as non-critical.
    demand(!critical);
    c.issuerKey = der.open(tags.sequence).optional(tagOf(0, false)) ?? '';
  },
  '2.5.29.36': (c, der) => {
    const seq = der.open(tags.sequence);
    for (const tag of [tagOf(0, false), tagOf(1, false)]) {
      if (!seq.is(tag)) continue;
      seq.int64(tag);
      c.policies ||= tag === tagOf(0, false);
    }
  },
  '2.5.29.37': (c, der) => {
    for (const list = der.open(tags.sequence); !list.empty;) c.purposes.push(list.oid());
  },
  '2.5.29.54': (c, der) => {
    der.int64();
  },
  '1.3.6.1.5.5.7.1.1': (c, der, critical) => { // SPEC: RFC 5280 4.2.2.1: Conforming CAs MUST mark this extension as non-critical.
    demand(!critical);
    for (const list = der.open(tags.sequence); !list.empty;) {
      const access = list.open(tags.sequence);
      access.oid();
      access.optional(tagOf(6, false));
    }
  },
};

/**
 * isClear tells whether a chain can be judged here: what certificates may say of names and policies takes more than any authority of
 * time stamps is known to need.
 */
export const isClear = (chain) => !chain.slice(0, -1).some((c) => c.policies) && !(chain.some((c) => c.constraints) && chain.some((c) => c.names !== null));

/** digest hashes a binary string by SHA-1, SHA-256, SHA-384 or SHA-512. */
export const digest = async (bits, s) => binary(new Uint8Array(await crypto.subtle.digest(`SHA-${bits}`, bytesOf(s))));

/** verifySignature tells whether a signature by a scheme is by a key, over a message. */
export async function verifySignature(key, { kind, hash }, message, signature) {
  if (key.kind !== (kind === 'ecdsa' ? 'ec' : 'rsa')) return false;
  const parts = key.kind === 'ec' ? ecdsaParts(key, hash, signature) : rsaParts(key, kind, hash, signature);
  if (parts === null) return false;
  const { format, material, params, sig } = parts;
  try {
    const imported = await crypto.subtle.importKey(format, material, params, false, ['verify']);
    return await crypto.subtle.verify(params, imported, bytesOf(sig), bytesOf(message));
  } catch {
    throw new Unclear(`this browser does not verify signatures by a key of ${key.kind === 'ec' ? key.curve : `RSA with ${key.size} bits`}`);
  }
}

/** ecdsaParts writes a signature as WebCrypto takes it, both numbers in full length; or gives null if it can't be one. */
function ecdsaParts(key, hash, signature) {
  try {
    const der = new Der(signature);
    const seq = der.open(tags.sequence);
    const numbers = [seq.integer(), seq.integer()];
    seq.end();
    der.end();
    const sig = numbers.map((n) => bytesOfNumber(n, key.bytes)).join('');
    if (numbers.some((n) => n <= 0n) || sig.length !== 2 * key.bytes) return null;
    return { format: 'raw', material: bytesOf(key.point), params: { name: 'ECDSA', namedCurve: key.curve, hash: `SHA-${hash}` }, sig };
  } catch (err) {
    if (err instanceof Malformed) return null;
    throw err;
  }
}

function rsaParts(key, kind, hash, sig) {
  const { n, e, size } = key;
  if (size < 1024 || n % 2n === 0n || e % 2n === 0n || e === 1n || e >= 2n ** 31n || sig.length !== Math.ceil(size / 8)) return null;
  const encoded = (x) => btoa(bytesOfNumber(x)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
  const params = { name: kind === 'rsa-pss' ? 'RSA-PSS' : 'RSASSA-PKCS1-v1_5', hash: `SHA-${hash}`, saltLength: hash / 8 };
  return { format: 'jwk', material: { kty: 'RSA', n: encoded(n), e: encoded(e) }, params, sig };
}

/** bytesOfNumber writes a number that is not negative, big endian, in as many bytes at least. */
function bytesOfNumber(n, least = 1) {
  const hex = n.toString(16);
  return hex.padStart(Math.max(2 * least, hex.length + (hex.length % 2)), '0').replace(/../g, (x) => String.fromCharCode(parseInt(x, 16)));
}
