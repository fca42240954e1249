// Tells whether clocks contradict each other: node fit.mjs, then vectors of docs/spec/vectors/evidence-clocks.json on standard input, one a
// line, each answered with the contradiction and what it is in words.
import { createInterface } from 'node:readline';
import { Anchors } from './anchors.mjs';
import { contradictionText, sides } from './clocks.mjs';
import { second } from './der.mjs';

function nanoseconds(time) {
  const [whole, digits] = time.replace('Z', '').split('.');
  return BigInt(Date.parse(`${whole}Z`) / 1000) * second + BigInt((digits ?? '').padEnd(9, '0'));
}

const plain = (_, v) => (typeof v === 'bigint' ? Number(v) : v);
for await (const line of createInterface({ input: process.stdin })) {
  // A quorum's time can be more than a number of JavaScript holds.
  const v = JSON.parse(line.replace(/("(?:since|time)":)(\d+)/g, '$1"$2"'));
  const anchors = new Anchors(null);
  anchors.stamped = v.tokens.map((t) => ({
    report: { index: BigInt(t.index), size: BigInt(t.size), authority: t.authority, counts: true },
    token: { time: nanoseconds(t.time), accuracy: BigInt(t.accuracy_ns), keys: [] },
  }));
  anchors.heads = v.quorums.map((q) => {
    const times = { since: BigInt(q.since), until: BigInt(q.time) };
    return { index: q.index === null ? null : BigInt(q.index), size: BigInt(q.size), quorum: times, unchecked: times };
  });
  anchors.hear();
  const found = anchors.heard.contradiction(sides(anchors.heard.bounds(BigInt(v.first), BigInt(v.last))));
  process.stdout.write(`${JSON.stringify({ found, words: found === null ? '' : contradictionText(found) }, plain)}\n`);
}
