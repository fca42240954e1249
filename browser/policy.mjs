// tlog-policy (https://c2sp.org/tlog-policy), read as strictly as package trust reads it.

import { Refusal, checkpointKey, types } from './keys.mjs';

const most = 256; // of logs, witnesses and groups, each
const none = 'none';

/** readPolicy reads a binary string. */
export async function readPolicy(text) {
  // SPEC: tlog-policy: each line is terminated by ASCII newline.
  if (text !== '' && !text.endsWith('\n')) throw new Refusal('policy: the last line does not end in a line feed');
  const p = new Parser();
  const lines = text.replace(/\n$/, '').split('\n');
  for (let i = 0; i < lines.length; i++) {
    try {
      await p.line(lines[i]);
    } catch (err) {
      throw new Refusal(`policy, line ${i + 1}: ${err.message}`);
    }
  }
  // SPEC: tlog-policy: a policy file must include exactly one quorum line.
  if (p.policy.quorum === '') throw new Refusal('policy: no quorum line');
  return p.policy;
}

class Parser {
  constructor() {
    this.policy = { logs: [], witnesses: [], groups: new Map(), quorum: '' };
    this.points = { log: new Set(), witness: new Set() };
    this.members = new Set();
  }

  async line(line) {
    // SPEC: tlog-policy: the allowed octet values are 0x09 (tab), 0x0A (newline), 0x20-0x7E, and 0x80-0xFF.
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(line)) throw new Refusal('a byte that is not allowed');
    // SPEC: tlog-policy: whitespace means sequences of ASCII space and tab characters only.
    const words = line.split(/[ \t]+/).filter((w) => w !== '');
    if (words.length === 0 || words[0].startsWith('#')) return;
    const kinds = { log: this.log, witness: this.witness, group: this.group, quorum: this.quorum };
    if (!Object.hasOwn(kinds, words[0])) throw new Refusal('begins with none of log, witness, group, quorum');
    await kinds[words[0]].call(this, words.slice(1));
    if (Math.max(this.policy.logs.length, this.policy.witnesses.length, this.policy.groups.size) > most) {
      throw new Refusal(`more than ${most} logs, witnesses or groups`);
    }
  }

  /** once refuses a public key that stands in an earlier line. */
  once(kind, key) {
    // SPEC: tlog-policy: multiple log or witness lines with the same public key are not allowed.
    if (this.points[kind].has(key.point)) throw new Refusal(`the ${kind}'s public key stands in an earlier line, under whatever name`);
    this.points[kind].add(key.point);
  }

  async log(words) {
    if (words.length < 1 || words.length > 2) throw new Refusal('not «log VKEY [URL]»');
    const key = await checkpointKey(words[0]);
    // SPEC: tlog-policy: log and witness keys must use a signature type appropriate to their function.
    if (key.type === types.cosignature) throw new Refusal("a key of cosignatures is a witness's, not a log's");
    this.once('log', key);
    this.policy.logs.push(key);
  }

  async witness(words) {
    if (words.length < 2 || words.length > 3) throw new Refusal('not «witness NAME VKEY [URL]»');
    this.checkNew(words[0]);
    const key = await checkpointKey(words[1]);
    if (key.type === types.ed25519) throw new Refusal('a key of plain ed25519 makes no cosignatures');
    this.once('witness', key);
    this.policy.witnesses.push({ name: words[0], key });
  }

  group(words) {
    if (words.length < 3) throw new Refusal('not «group NAME all|any|K MEMBER…»');
    const [name, threshold, ...members] = words;
    for (const m of members) {
      // SPEC: tlog-policy: a group definition can only refer to names defined on preceding lines; each name can be a member once.
      if (!this.defined(m)) throw new Refusal('a member is not defined on an earlier line');
      if (this.members.has(m)) throw new Refusal('a member is one already, of this or another group');
      this.members.add(m);
    }
    this.checkNew(name);
    let k = threshold === 'all' ? members.length : 1;
    if (threshold !== 'all' && threshold !== 'any') {
      // SPEC: tlog-policy: it must be written in decimal, and it is required that 1 <= k <= n.
      k = /^[1-9][0-9]{0,5}$/.test(threshold) ? Number(threshold) : 0;
      if (k < 1 || k > members.length) throw new Refusal(`threshold is none of all, any, and 1 to ${members.length}`);
    }
    this.policy.groups.set(name, { k, members });
  }

  quorum(words) {
    if (words.length !== 1) throw new Refusal('not «quorum NAME»');
    if (this.policy.quorum !== '') throw new Refusal('a second quorum line');
    if (words[0] !== none && !this.defined(words[0])) throw new Refusal('the quorum is not defined on an earlier line');
    this.policy.quorum = words[0];
  }

  defined(name) {
    return this.policy.groups.has(name) || this.policy.witnesses.some((w) => w.name === name);
  }

  // SPEC: tlog-policy: witnesses and groups share a single namespace; none is predefined.
  checkNew(name) {
    if (name === none) throw new Refusal('the name none is predefined');
    if (this.defined(name)) throw new Refusal('a name is defined on an earlier line');
  }
}

/** demandsNone tells whether the policy demands no cosignature. */
export const demandsNone = (policy) => policy.quorum === none;

/** satisfied tells whether the quorum is met if exactly the witnesses for which cosigned is true have cosigned. */
export function satisfied(policy, cosigned) {
  // Names lead to earlier lines alone, and each is a member once: this ends.
  const witnessed = (name) => {
    const g = policy.groups.get(name);
    return g === undefined ? cosigned(name) : g.members.filter(witnessed).length >= g.k;
  };
  return demandsNone(policy) || witnessed(policy.quorum);
}
