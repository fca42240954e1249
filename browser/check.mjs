// Reads {"signatures":n,"entry":base64} lines on standard input and answers each with {"ok":true,…} or {"code":…}.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { grammar, parse } from './entry.mjs';

const g = grammar(JSON.parse(readFileSync(process.argv[2], 'utf8')));
for await (const line of createInterface({ input: process.stdin })) {
  const { entry, signatures } = JSON.parse(line);
  let answer;
  try {
    const e = parse(Uint8Array.from(Buffer.from(entry, 'base64')), g, signatures);
    answer = {
      ok: true, session: e.session, track: e.track, seq: e.seq, prev: e.prev, recorder: e.recorder.name,
      types: e.events.map((ev) => ev.type), blobs: e.blobs,
    };
  } catch (err) {
    if (err.code === undefined) throw err;
    answer = { code: err.code };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
