// Judges time-stamp tokens: node stamp.mjs, then lines {"token","digest","authority"} on standard input, bytes in base64 and times in
// nanoseconds, each answered with {"reason"} or what the token says.
import { createInterface } from 'node:readline';
import { Refused } from './cms.mjs';
import { verifyToken } from './timestamp.mjs';

const big = (s) => BigInt(s);
for await (const line of createInterface({ input: process.stdin })) {
  const { token, digest, authority: a } = JSON.parse(line);
  const authority = {
    name: a.name, certificates: (a.certificates ?? []).map(atob), from: big(a.from), until: big(a.until), accuracy: big(a.accuracy), policies: a.policies ?? [],
    compromised: a.compromised === '' ? null : big(a.compromised), algorithms: (a.algorithms ?? []).map((x) => ({ ...x, end: big(x.end) })),
  };
  let answer;
  try {
    const t = await verifyToken(atob(token), atob(digest), authority);
    answer = { time: `${t.time}`, accuracy: `${t.accuracy}`, keys: t.keys.map(btoa), ends: t.ends.map((e) => e.name) };
  } catch (err) {
    if (!(err instanceof Refused)) throw err;
    answer = { reason: err.reason };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
