// Chains of certificates (RFC 5280, 6), from a signer to one that is pinned, at a time. Built as Go's crypto/x509 builds them.

import { Malformed, Unclear } from './der.mjs';
import { Refusal } from './keys.mjs';
import { isClear, readCertificate, verifySignature } from './x509.mjs';

const timeStamping = '1.3.6.1.5.5.7.3.8';
const anyPurpose = '2.5.29.37.0';
const mostChecks = 100; // of signatures
const certSign = 1 << 5; // of key usage

/** issued tells whether a certificate is signed by another's key, which may sign certificates. */
export async function issued(c, by) {
  // SPEC: RFC 5280 4.2.1.9: If the basic constraints extension is not present in a version 3 certificate, or the extension is present
  // but the cA boolean is not asserted, then the certified public key MUST NOT be used to verify certificate signatures.
  if (by.ca === null ? by.version === 3 : !by.ca.is) return false;
  // SPEC: RFC 5280 4.2.1.3: If the keyCertSign bit is asserted [it may]: so not without, if the extension is there.
  if (by.usage !== 0 && !(by.usage & certSign)) return false;
  return c.scheme !== null && verifySignature(by.key, c.scheme, c.tbs, c.signature);
}

/** chains are all chains from a signer to an anchor, by certificates that lie between, each good at a time. */
export async function chains(signer, anchors, between, at) {
  if (!valid(signer, [], at)) return [];
  if (anchors.some((a) => a.raw === signer.raw)) return [[signer]].filter(forTimeStamping);
  const found = [];
  let checks = 0;
  const extend = async (chain) => {
    const child = chain[chain.length - 1];
    for (const [list, isAnchor] of [[anchors, true], [between, false]]) {
      for (const c of likely(child, list)) {
        if (++checks > mostChecks) return;
        if (inChain(c, chain) || !(await issued(child, c)) || !valid(c, chain, at)) continue;
        if (isAnchor) found.push([...chain, c]);
        // SPEC: RFC 5280 6.1.4 (k): If the certificate is a version 3 certificate, verify that the basicConstraints extension is
        // present and that cA is set to TRUE.
        else if (c.ca?.is) await extend([...chain, c]);
      }
    }
  };
  await extend([signer]);
  const good = found.filter(forTimeStamping);
  if (!good.every(isClear)) throw new Unclear('certificates limit names, or map or demand policies, and this page does not judge that');
  return good;
}

/** likely are those of a name that issued a certificate, the likeliest by key identifiers first. */
function likely(child, list) {
  // SPEC: RFC 5280 6.1.3 (a) (4): The certificate issuer name is the working_issuer_name.
  const named = list.filter((c, i) => c.subject === child.issuer && list.findIndex((o) => o.raw === c.raw) === i);
  const rank = (c) => (c.subjectKey === child.issuerKey ? 0 : c.subjectKey === '' || child.issuerKey === '' ? 1 : 2);
  return [0, 1, 2].flatMap((r) => named.filter((c) => rank(c) === r));
}

/** inChain tells whether a chain has the same subject with the same key already. */
function inChain(c, chain) {
  const same = chain.filter((o) => o.subject === c.subject && o.spki === c.spki);
  // Go looks no further where one of the two has alternative names and the other none.
  for (const o of same) {
    if ((o.names === null) !== (c.names === null)) return false;
    if (o.names === c.names) return true;
  }
  return false;
}

/** valid tells whether a certificate may stand at the end of a chain. */
function valid(c, chain, at) {
  // SPEC: RFC 5280 4.2: A certificate-using system MUST reject the certificate if it encounters a critical extension it does not
  // recognize or a critical extension that contains information that it cannot process.
  if (c.unknown.length > 0) return false;
  // SPEC: RFC 5280 6.1.3 (a) (2): The certificate validity period includes the current time.
  if (at < c.from || at > c.until) return false;
  // SPEC: RFC 5280 4.2.1.9: the maximum number of non-self-issued intermediate certificates that may follow this certificate.
  return c.ca === null || c.ca.length === null || BigInt(chain.length - 1) <= c.ca.length;
}

/** forTimeStamping tells whether no certificate of a chain is for other purposes alone. */
const forTimeStamping = (chain) => chain.every((c) => c.purposes.length === 0 || c.purposes.some((p) => p === timeStamping || p === anyPurpose));

/** checkAnchors sees that what a trust file pins are certification authorities, and that no two authorities of time stamps are one. */
export async function checkAnchors(authorities) {
  const others = [];
  for (const { name, certificates } of authorities) {
    const own = certificates.map((raw) => readAnchor(name, raw)).filter((c) => c !== null);
    for (const c of own) {
      for (const o of others) {
        if (await isOneAuthority(c, o)) throw new Refusal(`authority ${name}: a certificate of it is of the same authority as another's: its word would count twice`);
      }
    }
    others.push(...own);
  }
}

/** readAnchor reads a certificate; one that can't be judged here is null, and so will be all tokens that hang on it. */
function readAnchor(name, raw) {
  try {
    const c = readCertificate(raw);
    // A signer's own certificate could be pinned too, but would have to be every year; and who pins it pins no chain to judge.
    if (c.ca?.is && (c.usage === 0 || c.usage & certSign)) return c;
    throw new Malformed('not of a certification authority');
  } catch (err) {
    if (err instanceof Unclear) return null;
    throw err instanceof Malformed ? new Refusal(`authority ${name}: a certificate is malformed, or of no certification authority`) : err;
  }
}

/** isOneAuthority tells whether two certificates are of one key, or one of them is issued by the other. */
async function isOneAuthority(a, b) {
  const by = async (c, o) => c.issuer === o.subject && issued(c, o);
  return a.spki === b.spki || (await by(a, b)) || by(b, a);
}
