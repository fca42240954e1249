// Time-stamp tokens (RFC 3161; docs/spec/timestamp.md): judging one by its authority, as package timestamp does, with its reasons.
// Nothing is believed but what is pinned, and no clock is asked. Times are nanoseconds since 1970.
//
// An authority is { name, certificates, from, until, accuracy, policies, compromised, algorithms }: the binary DER of what its chains
// end in; the window; the most that a token may claim; dotted policies, none for any; null if it is not compromised; and of each
// algorithm that ends { name, end, broken }.

import { Refused, checkImprint, demand, isNamed, oids, readCertIDs, readClaim, readSigningTime, readToken, within } from './cms.mjs';
import { chains } from './chain.mjs';
import { Der, Unclear, second, tagOf } from './der.mjs';
import { digest, ecdsa, hashes, pkcs1, plain, pssHash, readCertificate, verifySignature } from './x509.mjs';

const maxSigningTime = 300n * second;
const minRSA = 2048;
const timeStamping = '1.3.6.1.5.5.7.3.8';
const extensions = { keyUsage: '2.5.29.15', purposes: '2.5.29.37' };
const signs = 0b11; // key usage: digitalSignature and contentCommitment

/** notChecked is the reason why a token that may be good is not judged here. It is in no other verifier. */
export const notChecked = 'not-checked-here';

/**
 * verifyToken judges a token over a digest, by everything but what depends on other tokens. It gives the time and accuracy of the token, the
 * public keys that it hangs on, and the ends of algorithms that it uses. What it refuses it throws as Refused; if that is for notChecked, with
 * what the token says.
 */
export async function verifyToken(token, of, authority) {
  try {
    return await verify(readToken(token), of, authority);
  } catch (err) {
    if (!(err instanceof Unclear)) throw err;
    const info = readClaim(token); // what was unclear stands behind it
    throw Object.assign(new Refused(notChecked, err.message), { claim: { time: info.genTime, accuracy: info.accuracy ?? authority.accuracy, keys: [] } });
  }
}

async function verify(p, of, authority) {
  checkImprint(p.info, of);
  const ids = certIDs(p.signer);
  const signer = await signerCertificate(p, ids);
  await checkAttributes(p);
  checkSigner(signer, p.info.genTime);
  await checkSignature(p, signer);
  checkName(p.info, signer);
  const found = await chainsOf(p, ids, signer, authority);
  checkPinned(p.info, authority);
  const hashNames = [p.info.hash, p.signer.digest, ...ids.flat().map((id) => id.algorithm)].filter((a) => a !== null).map((a) => `sha-${hashes[a.oid]}`);
  const t = { time: p.info.genTime, accuracy: p.info.accuracy ?? authority.accuracy, ...best(found, signatureScheme(p.signer), hashNames, authority) };
  for (const e of t.ends) {
    demand(t.time + t.accuracy < e.end, 'algorithm', `it uses ${e.name}, which counts before ${e.day}, and may be of later`);
  }
  return t;
}

/** certIDs are the attributes that bind certificates: the older, the newer, or both. Each is a list of one or more. */
function certIDs({ attributes }) {
  const lists = [];
  for (const oid of [oids.signingCertificate, oids.signingCertificateV2]) {
    if (!attributes.has(oid)) continue;
    lists.push(within('signing-certificate', `the attribute ${oid} is malformed`, () => readCertIDs(attributes.get(oid), oid === oids.signingCertificateV2)));
  }
  // SPEC: RFC 3161 2.4.2: The certificate identifier (ESSCertID) of the TSA certificate MUST be included as a signerInfo attribute
  // inside a SigningCertificate attribute. RFC 5816 2.2.1: [or] ESSCertIDv2 [...] inside a SigningCertificateV2 attribute.
  demand(lists.length > 0, 'no-signing-certificate', "no signed attribute names the signer's certificate");
  return lists;
}

/** signerCertificate is the certificate that the signature binds, and that the signer's identifier names. */
async function signerCertificate(p, lists) {
  demand(p.certificates.length > 0, 'no-certificate', 'the token holds no certificate');
  const signer = p.certificates.find((c) => c.issuer === p.signer.issuer && c.serial === p.signer.serial);
  demand(signer !== undefined, 'signer-identifier', "the token does not hold the certificate that the signer's identifier names");
  // SPEC: RFC 5035 3: The first certificate identified in the sequence of certificate identifiers MUST be the certificate used to
  // verify the signature. RFC 5816 2.2.1 wants of both attributes that they match.
  for (const ids of lists) {
    demand(await isNamed(ids[0], signer), 'signing-certificate', "the signature was made for another certificate than the signer's identifier names");
  }
  return signer;
}

/** checkAttributes sees that the signed attributes are about this content, and of its time. */
async function checkAttributes({ signer, content, info }) {
  const value = (reason, words, oid, read) => within(reason, words, () => {
    const der = new Der(signer.attributes.get(oid) ?? '');
    const v = read(der);
    der.end();
    return v;
  });
  // SPEC: RFC 5652 11.1: the value of the content-type attribute MUST match the encapContentInfo eContentType value.
  let wrong = ['signed-content-type', 'the attribute contentType does not say id-ct-TSTInfo'];
  demand(value(...wrong, oids.contentType, (der) => der.oid()) === oids.info, ...wrong);
  // SPEC: RFC 5652 5.6: For the signature to be valid, the message digest value calculated by the recipient MUST be the same as the
  // value of the messageDigest attribute.
  wrong = ['message-digest', "the attribute messageDigest is not the content's digest"];
  demand(value(...wrong, oids.messageDigest, (der) => der.octets()) === (await digest(signer.hash, content)), ...wrong);
  const signed = signer.attributes.get(oids.signingTime);
  if (signed === undefined) return;
  const at = within('signing-time', 'the attribute signingTime is malformed', () => readSigningTime(signed));
  const apart = at > info.genTime ? at - info.genTime : info.genTime - at;
  demand(apart <= maxSigningTime, 'signing-time', 'it says that it was signed more than five minutes from genTime');
}

/** checkSigner sees that a certificate is for time-stamping and nothing else. */
function checkSigner(c, at) {
  // SPEC: RFC 3161 2.3: The corresponding certificate MUST contain only one instance of the extended key usage field extension with
  // KeyPurposeID having value id-kp-timeStamping. This extension MUST be critical.
  const purposes = c.extensions.get(extensions.purposes);
  demand(purposes !== undefined, 'no-extended-key-usage', "the signer's certificate has no extended key usage");
  demand(c.purposes.length === 1 && c.purposes[0] === timeStamping, 'extended-key-usage', "the signer's certificate is not for time-stamping alone");
  demand(purposes.critical, 'extended-key-usage-not-critical', "the extended key usage of the signer's certificate is not critical");
  // SPEC: RFC 5280 4.2.1.12: id-kp-timeStamping: Key usage bits that may be consistent: digitalSignature and/or nonRepudiation.
  demand(!c.extensions.has(extensions.keyUsage) || (c.usage !== 0 && !(c.usage & ~signs)), 'key-usage', "the signer's key is for more than signatures");
  // A key that issues certificates could issue the next signer's.
  demand(!c.ca?.is, 'signer-is-ca', "the signer's certificate is a certification authority's");
  // SPEC: RFC 5280 4.2: A certificate-using system MUST reject the certificate if it encounters a critical extension it does not
  // recognize or a critical extension that contains information that it cannot process.
  demand(c.unknown.length === 0, 'critical-extension', `the signer's certificate has the critical extension ${c.unknown[0]}, which is unknown`);
  // SPEC: RFC 5280 4.1.2.5: the validity period is from notBefore through notAfter, inclusive.
  demand(at >= c.from && at <= c.until, 'expired', "genTime is not in the validity of the signer's certificate");
  checkKey(c, 'key');
}

/** checkKey refuses keys that are too weak, or of a kind that no authority has. */
function checkKey({ key }, reason) {
  const kind = key.kind === 'rsa' ? key.size >= minRSA : key.kind === 'ec' && key.curve !== 'P-224';
  demand(kind, reason, 'a key is neither RSA of 2048 bits or more nor ECDSA with P-256, P-384 or P-521');
}

/** signatureScheme is what a SignerInfo's algorithms amount to, or null where they are not accepted. */
function signatureScheme({ algorithm: a, hash }) {
  if (a.oid === '1.2.840.113549.1.1.10') return pssHash(a.params) === hash ? { kind: 'rsa-pss', hash } : null;
  if (!plain(a)) return null;
  // rsaEncryption names no digest; the others do, and it must be the digest that was used.
  if (a.oid === '1.2.840.113549.1.1.1' || pkcs1[a.oid] === hash) return { kind: 'rsa-pkcs1', hash };
  return ecdsa[a.oid] === hash ? { kind: 'ecdsa', hash } : null;
}

/** checkSignature sees that the signer signed the attributes. */
async function checkSignature({ signer: s }, { key }) {
  const scheme = signatureScheme(s);
  demand(scheme !== null, 'signature-algorithm', `${s.algorithm.oid} with digest ${s.digest.oid} is not accepted`);
  // SPEC: RFC 5652 5.6: the signature is verified with the signer's public key over the DER encoding of the signed attributes.
  demand(await verifySignature(key, scheme, s.signed, s.signature), 'signature', "it is not by the key of the signer's certificate");
}

/**
 * checkName holds the name in the token against the certificate.
 * SPEC: RFC 3161 2.4.2: [tsa] If present, it MUST correspond to one of the subject names included in the certificate that is to be used
 * to verify the token.
 */
function checkName({ tsa }, signer) {
  if (tsa === null) return;
  const wrong = ['tsa-name', "the token names another authority than its signer's certificate"];
  const name = within(...wrong, () => {
    const der = new Der(tsa);
    const content = der.content(tagOf(4));
    der.end();
    return content;
  });
  demand(name === signer.subject, ...wrong);
}

/** chainsOf are the chains from the signer to anchors of the authority, at the time of the token. */
async function chainsOf(p, ids, signer, authority) {
  const anchors = authority.certificates.map((raw) => {
    const c = within('authority', `an anchor of ${authority.name} is no certificate`, () => readCertificate(raw));
    checkKey(c, 'authority');
    return c;
  });
  const isAnchor = (c) => anchors.some((a) => a.raw === c.raw);
  const between = [];
  for (const c of p.certificates) {
    if (isAnchor(c)) continue; // by whom it was issued is of no importance
    checkKey(c, 'key');
    demand(c.scheme !== null, 'signature-algorithm', 'a certificate is signed with what can be forged, or is unknown');
    if (await mayUse(ids, c)) between.push(c);
  }
  const found = await chains(signer, anchors, between, p.info.genTime);
  demand(found.length > 0, 'chain', `no chain leads from the signer to an anchor of ${authority.name}`);
  // A certificate that proves nothing would be bytes that nothing vouches for.
  const used = new Set(found.flat().map((c) => c.raw));
  demand(p.certificates.every((c) => isAnchor(c) || used.has(c.raw)), 'extra-certificate', 'a certificate is in no chain from the signer to an anchor');
  return found;
}

/**
 * mayUse says that the signature does not keep a certificate out of the chain.
 * SPEC: RFC 5035 3: If more than one certificate is present, subsequent certificates limit the set of certificates that are used during
 * validation.
 */
async function mayUse(lists, c) {
  for (const ids of lists) {
    if (ids.length > 1 && !(await Promise.all(ids.map((id) => isNamed(id, c)))).includes(true)) return false;
  }
  return true;
}

/** checkPinned holds what a token says against what was pinned. */
function checkPinned(info, a) {
  demand(info.genTime >= a.from && info.genTime < a.until, 'window', `it is not of the window of ${a.name}`);
  demand(a.compromised === null || info.genTime < a.compromised, 'compromised', `${a.name} is compromised, and the token is of later`);
  demand((info.accuracy ?? 0n) <= a.accuracy, 'accuracy-cap', `the token claims to be less accurate than ${a.name} may`);
  demand(a.policies.length === 0 || a.policies.includes(info.policy), 'policy', `${a.name} may not stamp under the policy ${info.policy}`);
}

/**
 * best picks of several chains the one whose algorithms end last; of those, one that uses nothing broken; of those, the shortest. It gives the
 * public keys in it, and the ends of what the token uses.
 */
function best(found, scheme, hashNames, { algorithms }) {
  const judged = found.map((chain) => {
    const used = new Set([...hashNames, ...schemeNames(scheme)]);
    chain.forEach((c, i) => {
      used.add(keyName(c.key));
      // Nobody looks at how the pinned one was signed.
      if (i < chain.length - 1) for (const name of schemeNames(c.scheme)) used.add(name);
    });
    const ends = algorithms.filter((a) => used.has(a.name));
    const first = ends.reduce((n, e) => (n === null || e.end < n ? e.end : n), null);
    return { keys: chain.map((c) => c.spki), ends, first, broken: ends.some((e) => e.broken) };
  });
  const better = (x, y) => {
    if (x.first !== y.first) return x.first === null || (y.first !== null && x.first > y.first);
    return x.broken === y.broken ? x.keys.length < y.keys.length : y.broken;
  };
  return judged.reduce((a, b) => (better(b, a) ? b : a));
}

const schemeNames = ({ kind, hash }) => [`sha-${hash}`, ...(kind === 'ecdsa' ? [] : [kind])];

function keyName({ kind, curve, size }) {
  if (kind === 'ec') return `ecdsa-${curve.toLowerCase().replace('-', '')}`;
  return `rsa-${size < 3072 ? 2048 : size < 4096 ? 3072 : 4096}`;
}
