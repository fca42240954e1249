// Time-stamp tokens (docs/spec/timestamp.md): reading one, strictly, without believing it. That is package timestamp's cms.go and
// info.go, with its reasons. Everything is a binary string; times are nanoseconds since 1970.

import { hexOf } from './bytes.mjs';
import { Der, Malformed, instant, second, tagOf, tags } from './der.mjs';
import { algorithm, digest, hashOf, plain, readCertificate } from './x509.mjs';

const maxToken = 64 << 10;
const maxCertificates = 16;
const maxAccuracy = 24n * 60n * 60n; // seconds

export const oids = {
  signedData: '1.2.840.113549.1.7.2', info: '1.2.840.113549.1.9.16.1.4', contentType: '1.2.840.113549.1.9.3', messageDigest: '1.2.840.113549.1.9.4',
  signingTime: '1.2.840.113549.1.9.5', signingCertificate: '1.2.840.113549.1.9.16.2.12', signingCertificateV2: '1.2.840.113549.1.9.16.2.47',
  sha256: '2.16.840.1.101.3.4.2.1',
};

/** A Refused says why a token is refused: for a reason of docs/spec/timestamp.md. */
export class Refused extends Error {
  constructor(reason, words) {
    super(words);
    this.reason = reason;
  }
}

export function demand(ok, reason, words) {
  if (!ok) throw new Refused(reason, words);
}

/** within refuses for a reason what f finds malformed. */
export function within(reason, words, f) {
  try {
    return f();
  } catch (err) {
    throw err instanceof Malformed ? new Refused(reason, words) : err;
  }
}

/** ended refuses what follows the last field of something. */
const ended = (der, what) => demand(der.empty, 'trailing-bytes', `${der.left.length} bytes follow the last field of ${what}`);

/** readToken reads a token. Nothing in it is left unread but the values of attributes and extensions without a meaning here. */
export function readToken(token) {
  demand(token.length <= maxToken, 'too-large', `the token has ${token.length} bytes, more than ${maxToken}`);
  const sd = readContentInfo(token);
  const digests = within('not-der', 'the SignedData has no digestAlgorithms', () => sd.open(tags.set));
  const { content, info } = readContent(sd);
  const [certificates, lists, signers] = within('not-der', 'the SignedData is malformed', () => [sd.optional(tagOf(0)), sd.optional(tagOf(1)), sd.open(tags.set)]);
  ended(sd, 'the SignedData');
  // Revocation lists would be bytes that nothing signs. They are kept beside the token.
  demand(lists === null, 'revocation-lists', 'the token holds revocation data, which nothing in it signs');
  const p = { content, info, certificates: readCertificates(new Der(certificates ?? '')), signer: readSigner(signers) };
  // SPEC: RFC 5652 5.1: digestAlgorithms is a collection of message digest algorithm identifiers [used by the signers].
  const wrong = `digestAlgorithms does not name the signer's digest algorithm ${p.signer.digest.oid} alone`;
  const a = within('digest-algorithm', wrong, () => algorithm(digests));
  demand(digests.empty && hashOf(a) !== undefined && a.oid === p.signer.digest.oid, 'digest-algorithm', wrong);
  return p;
}

/** readClaim reads what a token says, and nothing that speaks for it. */
export function readClaim(token) {
  const sd = readContentInfo(token);
  sd.open(tags.set);
  return readContent(sd).info;
}

/** readContentInfo reads the wrapping, up to the version of the SignedData. */
function readContentInfo(token) {
  const all = new Der(token);
  const ci = within('not-der', 'the token is no DER', () => all.open(tags.sequence));
  ended(all, 'the token');
  const oid = within('not-der', 'the token has no content type', () => ci.oid());
  // SPEC: RFC 3161 2.4.2: TimeStampToken ::= ContentInfo; contentType is id-signedData.
  demand(oid === oids.signedData, 'not-signed-data', `the token's type is ${oid}, want id-signedData`);
  const [content, sd] = within('not-der', 'the token holds no SignedData', () => {
    const c = ci.open(tagOf(0));
    return [c, c.open(tags.sequence)];
  });
  ended(ci, 'the token');
  ended(content, 'the token');
  const version = within('not-der', 'the SignedData has no version', () => sd.int64());
  // SPEC: RFC 5652 5.1: IF [...] (encapContentInfo eContentType is other than id-data) THEN version MUST be 3.
  demand(version === 3n, 'version', `the SignedData has version ${version}, want 3`);
  return sd;
}

/** readContent reads encapContentInfo. */
function readContent(sd) {
  const encap = within('not-der', 'the SignedData has no content', () => sd.open(tags.sequence));
  const oid = within('not-der', 'the content has no type', () => encap.oid());
  // SPEC: RFC 3161 2.4.2: eContentType is an object identifier that uniquely specifies the content type. For a time-stamp token it
  // is defined as id-ct-TSTInfo.
  demand(oid === oids.info, 'content-type', `the content's type is ${oid}, want id-ct-TSTInfo`);
  // SPEC: RFC 3161 2.4.2: The eContent SHALL be the DER-encoded value of TSTInfo.
  const [wrapped, content] = within('not-der', 'the content is missing or malformed', () => {
    const w = encap.open(tagOf(0));
    return [w, w.octets()];
  });
  ended(encap, 'the content');
  ended(wrapped, 'the content');
  return { content, info: readInfo(content) };
}

/** readCertificates reads the set of certificates, none of them twice. */
function readCertificates(set) {
  const all = [];
  while (!set.empty) {
    demand(all.length < maxCertificates, 'too-many-certificates', `there are more than ${maxCertificates}`);
    const c = within('certificate', `number ${all.length + 1} is no X.509 certificate`, () => {
      const raw = set.element(tags.sequence);
      const parts = new Der(raw).open(tags.sequence);
      for (const tag of [tags.sequence, tags.sequence, tags.bits]) parts.content(tag);
      parts.end();
      return readCertificate(raw);
    });
    demand(!all.some((o) => o.raw === c.raw), 'extra-certificate', 'a certificate stands there twice');
    all.push(c);
  }
  return all;
}

/** readSigner reads signerInfos, of which there is one. */
function readSigner(set) {
  demand(!set.empty, 'signers', 'nobody signed, want one signature');
  const si = within('not-der', 'the SignerInfo is malformed', () => set.open(tags.sequence));
  // SPEC: RFC 3161 2.4.2: The time-stamp token MUST NOT contain any signatures other than the signature of the TSA.
  demand(set.empty, 'signers', 'there is more than one signature');
  const s = readIdentifier(si);
  s.digest = within('not-der', 'the SignerInfo has no digest algorithm', () => algorithm(si));
  s.hash = hashOf(s.digest);
  demand(s.hash !== undefined, 'digest-algorithm', `${s.digest.oid} is none of SHA-256, SHA-384, SHA-512`);
  Object.assign(s, readAttributes(si));
  [s.algorithm, s.signature] = within('not-der', 'the SignerInfo has no signature', () => [algorithm(si), si.octets()]);
  // Nothing signs unsigned attributes, and nothing here needs them.
  demand(!si.is(tagOf(1)), 'unsigned-attributes', 'the token has attributes that nothing signs');
  ended(si, 'the SignerInfo');
  return s;
}

/** readIdentifier reads the version and who signed. */
function readIdentifier(si) {
  const version = within('not-der', 'the SignerInfo has no version', () => si.int64());
  demand(!si.is(tagOf(0, false)), 'signer-identifier', 'the signer is named by a key identifier, want issuer and serial number');
  // SPEC: RFC 5652 5.3: If the SignerIdentifier is the CHOICE issuerAndSerialNumber, then the version MUST be 1.
  demand(version === 1n, 'version', `the SignerInfo has version ${version}, want 1`);
  return within('not-der', "the signer's identifier is malformed", () => {
    const sid = si.open(tags.sequence);
    const s = { issuer: sid.element(tags.sequence), serial: sid.integer() };
    sid.end();
    return s;
  });
}

/** readAttributes reads the signed attributes: the one value of each by its type, and what the signature is over. */
function readAttributes(si) {
  // SPEC: RFC 5652 5.3: [signedAttrs] MUST be present if the content type of the EncapsulatedContentInfo value being signed is not
  // id-data.
  demand(si.is(tagOf(0)), 'no-signed-attributes', 'the signature is not over signed attributes');
  const { content, raw } = within('not-der', 'the signed attributes are malformed', () => si.any());
  const attributes = new Map();
  const set = new Der(content);
  for (let last = ''; !set.empty;) {
    const attribute = within('attributes', 'a signed attribute is malformed', () => set.element(tags.sequence));
    // SPEC: RFC 5652 5.3: SignedAttributes MUST be DER encoded. DER sorts sets.
    demand(last < attribute, 'attributes', 'the signed attributes are not sorted, or one is repeated');
    last = attribute;
    const wrong = 'a signed attribute is malformed, repeated, or has not one value';
    const [oid, value] = within('attributes', wrong, () => {
      const seq = new Der(attribute).open(tags.sequence);
      const type = seq.oid();
      const values = seq.open(tags.set);
      seq.end();
      const only = values.any().raw;
      values.end();
      return [type, only];
    });
    // SPEC: RFC 5652 11.1, 11.2, 11.3: a [content-type, message-digest, signing-time] attribute MUST have a single attribute value;
    // the SignedAttributes MUST NOT include multiple instances of it. RFC 5035 3 says the same of the signing certificate. No other
    // attribute has more in a time-stamp token.
    demand(!attributes.has(oid), 'attributes', wrong);
    attributes.set(oid, value);
  }
  // SPEC: RFC 5652 5.4: The IMPLICIT [0] tag in the signedAttrs is not used for the DER encoding, rather an EXPLICIT SET OF tag is
  // used.
  return { attributes, signed: String.fromCharCode(tags.set) + raw.slice(1) };
}

/** readInfo reads a TSTInfo. */
function readInfo(bytes) {
  const all = new Der(bytes);
  const [seq, version] = within('not-der', 'the content is no TSTInfo', () => {
    const s = all.open(tags.sequence);
    return [s, s.int64()];
  });
  ended(all, 'the TSTInfo');
  // SPEC: RFC 3161 2.4.2: Conforming time-stamping servers MUST be able to provide version 1 time-stamp tokens.
  demand(version === 1n, 'version', `the TSTInfo has version ${version}, want 1`);
  const info = within('not-der', 'the TSTInfo has no policy, message imprint or serial number', () => {
    const policy = seq.oid();
    const imprint = seq.open(tags.sequence);
    const [hash, of] = [algorithm(imprint), imprint.octets()];
    imprint.end();
    seq.integer(); // the serial number
    return { policy, hash, digest: of };
  });
  info.genTime = readGenTime(within('gen-time', 'genTime is no GeneralizedTime', () => seq.content(tags.time)));
  readRest(seq, info);
  return info;
}

/** readRest reads what is optional. */
function readRest(seq, info) {
  info.accuracy = seq.is(tags.sequence) ? readAccuracy(within('not-der', 'the accuracy is malformed', () => seq.open(tags.sequence))) : null;
  const extensions = within('not-der', 'the end of the TSTInfo is malformed', () => {
    if (seq.is(tags.boolean)) seq.boolean(); // ordering, which says nothing about one token
    if (seq.is(tags.integer)) seq.integer(); // the nonce, which was for who asked
    info.tsa = seq.optional(tagOf(0));
    return seq.optional(tagOf(1));
  });
  // SPEC: RFC 5280 4.1: Extensions ::= SEQUENCE SIZE (1..MAX) OF Extension.
  demand(extensions !== '', 'not-der', 'the TSTInfo has an empty list of extensions');
  ended(seq, 'the TSTInfo');
  for (const list = new Der(extensions ?? ''); !list.empty;) {
    const [oid, critical] = within('not-der', 'an extension of the TSTInfo is malformed', () => {
      const extension = list.open(tags.sequence);
      const out = [extension.oid(), extension.is(tags.boolean) && extension.boolean()];
      extension.octets();
      extension.end();
      return out;
    });
    // SPEC: RFC 5280 4.2: A certificate-using system MUST reject the certificate if it encounters a critical extension it does not
    // recognize. RFC 3161 2.4.2 takes the extensions of a TSTInfo from there.
    demand(!critical, 'token-extension', `the TSTInfo has the critical extension ${oid}, which is unknown`);
  }
}

/** readAccuracy reads Accuracy ::= SEQUENCE { seconds INTEGER OPTIONAL, millis [0] INTEGER (1..999) OPTIONAL, micros [1] … }. */
function readAccuracy(seq) {
  const [seconds, millis, micros] = within('accuracy', 'it is malformed', () => [tags.integer, tagOf(0, false), tagOf(1, false)].map((tag) => (seq.is(tag) ? seq.int64(tag) : null)));
  ended(seq, 'the accuracy');
  // SPEC: RFC 3161 2.4.2: millis [0] INTEGER (1..999) OPTIONAL, micros [1] INTEGER (1..999) OPTIONAL.
  const part = (n) => n === null || (n >= 1n && n <= 999n);
  demand((seconds ?? 0n) >= 0n && (seconds ?? 0n) <= maxAccuracy && part(millis) && part(micros), 'accuracy', 'it is out of range');
  // SPEC: RFC 3161 2.4.2: If either seconds, millis or micros is missing, then a value of zero MUST be taken for the missing field.
  return (seconds ?? 0n) * second + (millis ?? 0n) * 1_000_000n + (micros ?? 0n) * 1000n;
}

/**
 * readGenTime reads a GeneralizedTime in its one spelling.
 * SPEC: RFC 3161 2.4.2: The encoding MUST terminate with a "Z" [...] The syntax is: YYYYMMDDhhmmss[.s...]Z. The fractional-seconds
 * elements, if present, MUST omit all trailing 0's; if the elements correspond to 0, they MUST be wholly omitted, and the decimal
 * point element also MUST be omitted.
 */
function readGenTime(s) {
  const p = /^(\d{14})(?:\.(\d{0,8}[1-9]))?Z$/.exec(s);
  const at = p === null ? null : instant(p[1]);
  // The first second of the year 1 stands for no time at all in another verifier.
  demand(at !== null && p[1] !== '00010101000000', 'gen-time', 'genTime is in another spelling than it must be, or no time');
  return at + BigInt((p[2] ?? '').padEnd(9, '0'));
}

/**
 * readSigningTime reads a Time, or gives null.
 * SPEC: RFC 5652 11.3: UTCTime values MUST be expressed in Coordinated Universal Time and MUST include seconds. GeneralizedTime values
 * MUST be expressed in Coordinated Universal Time, MUST include seconds and MUST NOT include fractional seconds.
 */
export function readSigningTime(bytes) {
  const der = new Der(bytes);
  const { tag, content } = der.any();
  der.end();
  const p = tag === tags.time ? /^(\d{14})Z$/.exec(content) : tag === tags.utcTime && /^(\d{12})Z$/.exec(content);
  // RFC 5280, 4.1.2.5.1: two digits are of 1950 to 2049
  const at = p ? instant(tag === tags.time ? p[1] : (p[1] < '50' ? '20' : '19') + p[1]) : null;
  demand(at !== null, 'signing-time', 'the attribute signingTime is malformed');
  return at;
}

/**
 * readCertIDs reads SigningCertificate(V2) ::= SEQUENCE { certs SEQUENCE OF ESSCertID(v2), policies … OPTIONAL }: hashes of certificates,
 * inside what is signed. Policies would restrict what nobody here looks at: they are refused.
 */
export function readCertIDs(bytes, v2) {
  const all = new Der(bytes);
  const seq = all.open(tags.sequence);
  const certs = seq.open(tags.sequence);
  all.end();
  seq.end();
  const ids = [];
  while (!certs.empty && ids.length <= maxCertificates) ids.push(readCertID(certs.open(tags.sequence), v2));
  demand(ids.length > 0 && ids.length <= maxCertificates, 'signing-certificate', 'an attribute names no certificate, or too many');
  return ids;
}

function readCertID(seq, v2) {
  // ESSCertID is a SHA-1 hash of bytes that a certification authority signed with something better. To put another certificate in
  // its place takes a second preimage, or an authority that issues two of a collision.
  const id = { algorithm: null, hash: 1, issuer: null };
  if (v2) {
    // SPEC: RFC 5035 4: hashAlgorithm AlgorithmIdentifier DEFAULT {algorithm id-sha256}
    id.algorithm = seq.is(tags.sequence) ? algorithm(seq) : { oid: oids.sha256, params: null };
    id.hash = hashOf(id.algorithm);
    demand(id.hash !== undefined, 'signing-certificate', 'an attribute names a certificate by a hash that is not accepted');
  }
  id.digest = seq.octets();
  if (seq.empty) return id;
  // IssuerSerial ::= SEQUENCE { issuer GeneralNames, serialNumber INTEGER }
  const is = seq.open(tags.sequence);
  const names = is.open(tags.sequence);
  id.serial = is.integer();
  // SPEC: RFC 5035 5.1: The issuer field [...] MUST contain only the issuer name of the certificate encoded in the directoryName
  // choice of GeneralNames.
  const directory = names.open(tagOf(4));
  id.issuer = directory.element(tags.sequence);
  for (const d of [seq, is, names, directory]) d.end();
  return id;
}

/** isNamed tells whether an ESSCertID is of a certificate. */
export async function isNamed(id, c) {
  return (id.issuer === null || (id.issuer === c.issuer && id.serial === c.serial)) && id.digest === (await digest(id.hash, c.raw));
}

/** checkImprint sees that a token is over a digest, of SHA-256. */
export function checkImprint(info, want) {
  demand(info.hash.oid === oids.sha256 && plain(info.hash), 'imprint-algorithm', `the imprint is made by ${info.hash.oid}, want SHA-256`);
  // SPEC: RFC 3161 2.4.2: The messageImprint MUST have the same value as the similar field in TimeStampReq, provided that the size
  // of the hash value matches the expected size of the hash algorithm identified in hashAlgorithm.
  demand(info.digest === want, 'imprint', `the token is over ${hexOf(info.digest)}, want ${hexOf(want)}`);
}
