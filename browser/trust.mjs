// The trust file (docs/spec/trust.md), versions 1 and 2: what a verdict follows from. Held as a binary string.

import { canonicalBase64, cut, hexOf, utf8 } from './bytes.mjs';
import { checkAnchors } from './chain.mjs';
import { sha256 } from './crypt.mjs';
import { instant, second } from './der.mjs';
import { originPattern } from './entry.mjs';
import { Refusal, checkName, parseSize, plainKey, receivedKey, types } from './keys.mjs';
import { demandsNone, readPolicy, satisfied } from './policy.mjs';

const maxFile = 256 << 10;
const most = { keys: 64, windows: 1024, operators: 256, authorities: 16, algorithms: 32 };
const words = ['signer', 'received', 'system', 'enroller'];
export const noEnd = 2n ** 64n - 1n;

/** readTrust reads a trust file in its one spelling. */
export async function readTrust(text) {
  if (text.length > maxFile) throw new Refusal(`trust file of ${text.length} bytes, at most ${maxFile}`);
  const first = cut(text, '\n')[0];
  if (first !== 'steno/trust/v2' && first !== 'steno/trust/v1') throw new Refusal('trust file: line 1: not "steno/trust/v2"');
  try {
    const t = new Trust(first === 'steno/trust/v2' ? readLines(text) : readOld(text));
    t.digest = hexOf(await sha256(text));
    await t.load();
    return t;
  } catch (err) {
    throw err instanceof Refusal ? new Refusal(`trust file: ${err.message}`) : err;
  }
}

const empty = () => ({
  version: 0n, previous: '', threshold: 0, signer: [], received: [], system: [], enroller: [], operators: [], windows: [], require: [],
  authorities: [], stamps: 0, algorithms: [], policy: '',
});

/** readLines takes the lines as they come. Their order, and whether there are others, is seen by writing them again. */
function readLines(text) {
  const [head, policy, ok] = cut(text, '\npolicy\n');
  if (!ok) throw new Refusal('no line "policy"');
  const c = { ...empty(), policy };
  head.split('\n').slice(1).forEach((line, i) => {
    const [word, rest] = cut(line, ' ');
    try {
      takeLine(c, word, rest);
    } catch (err) {
      throw new Refusal(`line ${i + 2}: ${err.message}`);
    }
  });
  if (c.version === 0n) throw new Refusal('no line "version" from 1 on');
  if (written(c) !== text) throw new Refusal('lines are not in order, each once, each ended by one line feed');
  return c;
}

function written(c) {
  let s = `steno/trust/v2\nversion ${c.version}\n`;
  if (c.version > 1n) s += `previous ${c.previous === '' ? btoa('\0'.repeat(32)) : c.previous}\n`;
  if (c.threshold > 0) s += `threshold ${c.threshold}\n`;
  for (const word of words) for (const key of c[word]) s += `${word} ${key}\n`;
  for (const o of c.operators) s += `operator ${o.name} ${o.witnesses.join(' ')}\n`;
  for (const w of c.windows) s += `${windowLine(w)}\n`;
  for (const r of c.require) s += `require ${r.algorithm} ${r.day}\n`;
  for (const a of c.authorities) s += `authority ${a.line}\n`;
  if (c.stamps > 0) s += `stamps ${c.stamps}\n`;
  for (const a of c.algorithms) s += `algorithm ${a.name} ${a.day}${a.broken ? ' broken' : ''}\n`;
  return `${s}policy\n${c.policy}`;
}

function more(list, one, limit) {
  if (list.length === limit) throw new Refusal(`more than ${limit} such lines`);
  list.push(one);
}

function number(s, wrong) {
  if (!/^[0-9]{1,15}$/.test(s)) throw new Refusal(wrong);
  return Number(s);
}

function takeLine(c, word, rest) {
  switch (word) {
    case 'version': {
      const n = parseSize(rest);
      if (n === null) throw new Refusal('not a number in decimal below 2^63');
      c.version = n;
      return;
    }
    case 'previous':
      if (rest.length !== 44 || canonicalBase64(rest)?.length !== 32) throw new Refusal('hash is not 32 bytes in canonical base64');
      c.previous = rest;
      return;
    case 'threshold':
      c.threshold = number(rest, 'not a number in decimal');
      return;
    case 'stamps':
      c.stamps = number(rest, 'not a number in decimal');
      return;
    case 'signer': case 'received': case 'system': case 'enroller':
      more(c[word], rest, most.keys);
      return;
    case 'operator': {
      const [name, witnesses] = cut(rest, ' ');
      more(c.operators, { name, witnesses: witnesses.split(' ') }, most.operators);
      return;
    }
    case 'window':
      more(c.windows, readWindow(rest), most.windows);
      return;
    case 'require':
      more(c.require, readRequirement(rest), 1);
      return;
    case 'authority':
      more(c.authorities, readAuthority(rest), most.authorities);
      return;
    case 'algorithm':
      more(c.algorithms, readAlgorithm(rest), most.algorithms);
      return;
    default:
      throw new Refusal('begins with no word of a trust file');
  }
}

function readWindow(s) {
  const f = s.split(' ');
  if (f.length < 4 || f.length > 5 || f.includes('')) throw new Refusal(`${f.length} words, 4 to 5 are needed`);
  if (f.length === 5 && f[4] !== 'compromised') throw new Refusal('the last word is not compromised');
  const from = parseSize(f[2]);
  const until = f[3] === '-' ? noEnd : parseSize(f[3]);
  if (from === null || until === null) throw new Refusal('size is not a decimal without leading zeros below 2^63');
  return { role: f[0], key: f[1], from, until, compromised: f.length === 5 };
}

function windowLine(w) {
  return `window ${w.role} ${w.key} ${w.from} ${w.until === noEnd ? '-' : w.until}${w.compromised ? ' compromised' : ''}`;
}

/** dayOf reads YYYY-MM-DD to seconds since 1970, or gives null. */
function dayOf(s) {
  const p = /^(\d{4})-(\d\d)-(\d\d)$/.exec(s);
  if (p === null) return null;
  const d = new Date(0);
  d.setUTCFullYear(Number(p[1]), Number(p[2]) - 1, Number(p[3]));
  return d.toISOString().slice(-24).startsWith(s) ? BigInt(d.getTime() / 1000) : null;
}

function readRequirement(s) {
  const [algorithm, day] = cut(s, ' ');
  const from = dayOf(day);
  if (from === null) throw new Refusal('not «require ALGORITHM YEAR-MONTH-DAY»');
  return { algorithm, day, from };
}

/** readAlgorithm reads when an algorithm of time-stamp tokens stops counting: end is in nanoseconds since 1970. */
function readAlgorithm(s) {
  const [name, day, broken, ...others] = s.split(' ');
  const end = dayOf(day ?? '');
  if (end === null || others.length > 0 || (broken !== undefined && broken !== 'broken')) throw new Refusal('not «algorithm NAME YEAR-MONTH-DAY [broken]»');
  return { name, day, end: end * second, broken: broken !== undefined };
}

const algorithmNames = ['sha-256', 'sha-384', 'sha-512', 'rsa-pkcs1', 'rsa-pss', 'rsa-2048', 'rsa-3072', 'rsa-4096', 'ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521'];

/** readAuthority reads the form of the line, as timestamp.mjs takes it. */
function readAuthority(line) {
  const f = line.split(' ');
  const [name, from, until, seconds, policies, compromised, ...certificates] = f;
  const bad = () => new Refusal('not «authority NAME DAY DAY SECONDS POLICIES|- TIME|- CERTIFICATE…»');
  if (f.length < 7 || f.length > 10 || f.includes('')) throw bad();
  const [a, b] = [dayOf(from), dayOf(until)];
  if (a === null || b === null || a < 0n || a >= b) throw bad();
  if (!/^[1-9][0-9]{0,4}$/.test(seconds) || Number(seconds) > 86400) throw bad();
  if (policies !== '-' && !ascending(policies.split(','), 16, isOID)) throw bad();
  const at = compromised === '-' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(compromised) ? null : instant(compromised.replace(/\D/g, ''));
  // The first second of the year 1 is how another verifier holds no time at all.
  if (compromised !== '-' && (at === null || compromised.startsWith('0001-01-01T00:00:00'))) throw bad();
  if (!/^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}$/.test(name)) throw bad();
  if (!ascending(certificates, 4, (c) => canonicalBase64(c)?.startsWith('\x30') === true)) throw bad();
  return {
    line, name, from: a * second, until: b * second, accuracy: BigInt(seconds) * second, policies: policies === '-' ? [] : policies.split(','), compromised: at,
    certificates: certificates.map(atob),
  };
}

const ascending = (list, limit, good) => list.length <= limit && list.every((s, i) => good(s) && (i === 0 || list[i - 1] < s));

function isOID(s) {
  return s.length <= 128 && /^(?:[01]\.(?:[0-9]|[123][0-9])|2\.(?:0|[1-9][0-9]{0,17}))(?:\.(?:0|[1-9][0-9]{0,17}))*$/.test(s);
}

/** readOld reads version 1 of the format: a log, receipts, system, enrollers. */
function readOld(text) {
  const c = empty();
  const logs = [];
  text.replace(/\n$/, '').split('\n').slice(1).forEach((line, i) => {
    const [word, rest] = cut(line, ' ');
    if (word === 'log') more(logs, rest, most.keys);
    else if (['received', 'system', 'enroller'].includes(word)) more(c[word], rest, most.keys);
    else throw new Refusal(`line ${i + 2}: begins with none of log, received, system, enroller`);
  });
  if (logs.length !== 1) throw new Refusal(`${logs.length} logs, 1 is needed`);
  const again = `steno/trust/v1\nlog ${logs[0]}\n${words.slice(1).map((w) => c[w].map((k) => `${w} ${k}\n`).join('')).join('')}`;
  if (again !== text) throw new Refusal('lines are not in order, each once, each ended by one line feed');
  c.policy = `log ${logs[0]}\nquorum none\n`;
  c.old = true;
  return c;
}

/** Trust is a parsed trust file. */
class Trust {
  constructor(config) {
    this.config = config;
    this.windows = new Map(); // by role, name and key ID; a recorder's by its public key
    this.operators = new Map(); // by witness
  }

  /** load makes the keys of their spellings, and checks what must hold between them. */
  async load() {
    const c = this.config;
    this.policy = await readPolicy(c.policy);
    this.loadLogs();
    this.received = await this.keys('received', 1, receivedKey);
    if (this.received.some((k) => k.name !== `${this.origin}/received`)) throw new Refusal(`a received key is not named ${this.origin}/received`);
    this.system = await this.keys('system', 1, plainKey);
    this.enrollers = await this.keys('enroller', 1, plainKey);
    this.signers = await this.keys('signer', 0, plainKey);
    if (c.threshold > c.signer.length || (c.threshold === 0) !== (c.signer.length === 0)) {
      throw new Refusal(`threshold ${c.threshold} of ${c.signer.length} signers`);
    }
    this.checkpointKeys = [...this.policy.logs, ...this.policy.witnesses.map((w) => w.key)];
    this.checkPoints();
    oneEach(this.checkpointKeys, 'two keys of the log or of witnesses have name and key ID in common');
    this.loadOperators();
    await this.loadWindows();
    this.checkReachable();
    this.checkRequirements();
    await this.checkAuthorities();
    this.checkAlgorithms();
  }

  loadLogs() {
    const logs = this.policy.logs;
    if (!logs.some((k) => k.type === types.ed25519)) throw new Refusal('the policy has no Ed25519 key of the log');
    this.origin = logs[0].name;
    // SPEC: tlog-policy: the log's key name MUST correspond to the log's origin line.
    if (logs.some((k) => k.name !== this.origin)) throw new Refusal('keys of two logs: a trust file is of one');
    if (!originPattern.test(this.origin)) throw new Refusal("the log key's name is no origin");
    if (this.config.old && logs[0].type !== types.ed25519) throw new Refusal("the log's key is not of plain Ed25519");
  }

  async keys(word, least, read) {
    const spelt = this.config[word];
    if (spelt.length < least || spelt.length > most.keys) throw new Refusal(`${spelt.length} ${word} keys, ${least} to ${most.keys} are needed`);
    if (!ascending(spelt, most.keys, () => true)) throw new Refusal(`${word} keys are not in ascending order, each once`);
    const keys = await Promise.all(spelt.map(read));
    oneEach(keys, `two ${word} keys have name and key ID in common`);
    return keys;
  }

  /** checkPoints refuses a public key that stands twice, under whatever names. */
  checkPoints() {
    const all = [...this.checkpointKeys, ...this.received, ...this.system, ...this.enrollers, ...this.signers].map((k) => k.point);
    if (new Set(all).size < all.length) throw new Refusal('one public key stands in two lines');
  }

  /** loadOperators makes sure that every witness has an operator, and that none has two votes. */
  loadOperators() {
    const list = this.config.operators;
    list.forEach((o, i) => {
      const wrong = checkName(o.name);
      if (wrong !== '') throw new Refusal(`operator: ${wrong}`);
      if ((i > 0 && list[i - 1].name >= o.name) || o.witnesses.length === 0 || o.witnesses.some((w, j) => j > 0 && o.witnesses[j - 1] > w)) {
        throw new Refusal('operators and their witnesses are not in ascending order, each once');
      }
      for (const w of o.witnesses) {
        if (!this.policy.witnesses.some((x) => x.name === w) || this.operators.has(w)) {
          throw new Refusal('what an operator names is no witness of the policy, or has an operator already');
        }
        this.operators.set(w, o.name);
      }
      const names = o.witnesses.join(' ');
      if (o.witnesses.length > 1 && ![...this.policy.groups.values()].some((g) => [...g.members].sort().join(' ') === names)) {
        throw new Refusal('an operator has several witnesses, and they are not the members of one group: its word would count twice');
      }
    });
    if (this.policy.witnesses.some((w) => !this.operators.has(w.name))) throw new Refusal('a witness has no operator');
  }

  async loadWindows() {
    const pinned = {
      log: this.policy.logs, received: this.received, system: this.system, enroller: this.enrollers,
      witness: this.policy.witnesses.map((w) => w.key),
    };
    const list = this.config.windows;
    for (let i = 0; i < list.length; i++) {
      const w = list[i];
      const n = `window ${i + 1}`;
      let key;
      if (w.role === 'recorder') key = await plainKey(w.key);
      else if (Object.hasOwn(pinned, w.role)) key = pinned[w.role].find((k) => k.vkey === w.key);
      if (key === undefined) throw new Refusal(`${n}: it is of no key of this file`);
      if (i > 0 && windowLine(list[i - 1]) >= windowLine(w)) throw new Refusal('windows are not in ascending order, each once');
      if (this.windowOf(w.role, key) !== undefined) throw new Refusal(`${n}: its key has another`);
      if (w.from > w.until) throw new Refusal(`${n} ends before it begins`);
      if (w.compromised && w.until === noEnd) throw new Refusal(`${n}: a compromised key has an end`);
      this.windows.set(windowName(w.role, key), w);
    }
  }

  windowOf(role, key) {
    return this.windows.get(windowName(role, key));
  }

  /** reachable tells whether the witnesses of some keys, without the compromised ones, could make the quorum. */
  reachable(counts) {
    return satisfied(this.policy, (name) => {
      const { key } = this.policy.witnesses.find((w) => w.name === name);
      return counts(key) && !this.windowOf('witness', key)?.compromised;
    });
  }

  checkReachable() {
    if (!this.reachable(() => true)) throw new Refusal("the witnesses whose keys are not compromised can't make the quorum");
  }

  checkRequirements() {
    const pq = (k) => k.type === types.mldsa;
    for (const r of this.config.require) {
      if (r.algorithm !== 'ml-dsa-44') throw new Refusal('only ml-dsa-44 can be required, once');
      if (r.from < 0n) throw new Refusal('ml-dsa-44 is required from a day before 1970-01-01, which stands for always');
      if (!this.policy.logs.some(pq)) throw new Refusal('ml-dsa-44 is required, and the log has no such key');
      if (!this.reachable(pq)) throw new Refusal("ml-dsa-44 is required, and the witnesses that have such keys can't make the quorum");
    }
  }

  async checkAuthorities() {
    const list = this.config.authorities;
    if (!ascending(list.map((a) => a.name), most.authorities, () => true)) throw new Refusal('authorities are not in ascending order, each once');
    if (this.config.stamps > list.length) throw new Refusal(`stamps of ${this.config.stamps} authorities are demanded, and there are ${list.length}`);
    await checkAnchors(list);
  }

  checkAlgorithms() {
    this.config.algorithms.forEach((a, i, list) => {
      if (!algorithmNames.includes(a.name)) throw new Refusal(`algorithm ${i + 1} is none of ${algorithmNames.join(', ')}`);
      if (i > 0 && list[i - 1].name >= a.name) throw new Refusal('algorithms are not in ascending order, each once');
      if (a.end < 0n) throw new Refusal('an algorithm ends before 1970-01-01, which stands for always');
    });
  }

  needsWitnesses() {
    return !demandsNone(this.policy);
  }

  /** counts says why a key does not count for a leaf, or null. Witnessed: the leaf's checkpoint has the quorum. */
  counts(role, key, index, witnessed) {
    const w = this.windowOf(role, key);
    if (w === undefined || (index >= w.from && index < w.until && (!w.compromised || (witnessed && this.needsWitnesses())))) return null;
    return windowRefusal(w, index);
  }

  /** countsFor says why a key of the log or of a witness does not count for a checkpoint of a size, or null. */
  countsFor(role, key, size) {
    const w = this.windowOf(role, key);
    if (w === undefined || (size >= w.from && size <= w.until && !(w.compromised && role === 'witness'))) return null;
    return windowRefusal(w, size);
  }
}

const windowName = (role, key) => (role === 'recorder' ? `recorder ${key.point}` : `${role} ${key.name} ${key.id}`);

function oneEach(keys, wrong) {
  if (new Set(keys.map((k) => `${k.name} ${k.id}`)).size < keys.length) throw new Refusal(wrong);
}

/** windowRefusal says that a signature is by a key that does not count in this place. */
export function windowRefusal(w, at) {
  const [name, rest] = cut(w.key, '+');
  const end = w.until === noEnd ? '' : ` to ${w.until}`;
  let s = `the ${w.role} key ${utf8(name)}+${rest.slice(0, 8)} counts from size ${w.from}${end}, and this is at ${at}`;
  if (w.compromised) s += w.role === 'witness' ? '; it is compromised, and counts for nothing' : '; it is compromised, and counts only for what witnesses saw';
  return new Refusal(s, { window: w, at });
}

/** awaitsQuorum tells whether a key does not count for this alone, that it is compromised and no quorum bears it out. */
export function awaitsQuorum({ window: w, at }) {
  return w.compromised && w.role !== 'witness' && at >= w.from && (at < w.until || (w.role === 'log' && at === w.until));
}
