// Verifies bundles outside of a browser: node judge.mjs SCHEMA, then lines {"bundle":path,"trust":path} on standard input, each
// answered with a report.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { verify } from './verify.mjs';

const schema = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const plain = (_, v) => (typeof v === 'bigint' ? Number(v) : v);
for await (const line of createInterface({ input: process.stdin })) {
  const { bundle, trust } = JSON.parse(line);
  const v = await verify(new Uint8Array(readFileSync(bundle)), new Uint8Array(readFileSync(trust)), schema);
  process.stdout.write(`${JSON.stringify(v.report, plain)}\n`);
}
