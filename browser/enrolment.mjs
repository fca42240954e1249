// Enrolments (docs/spec/entry.md): whose the key of a track is, by the word of a pinned enroller.

import { binary, isUTF8 } from './bytes.mjs';
import { idPattern, isTime, originPattern, parseSignatureLine } from './entry.mjs';
import { Refusal, plainKey, verifyPlain } from './keys.mjs';

const maxEnrolment = 4096;
const maxAgents = 16;

const bad = (words) => new Refusal(words, { code: 'bad-enrolment', event: 0, member: 'enrolment' });
const mismatch = (code, words) => new Refusal(words, { code, event: 0, member: 'enrolment' });

/** openEnrolment reads an enrolment, a binary string, and verifies that one of the enrollers' keys signed it. */
export async function openEnrolment(note, enrollers) {
  if (note.length > maxEnrolment) throw bad(`enrolment of ${note.length} bytes, at most ${maxEnrolment}`);
  if (/[\x00-\x09\x0b-\x1f\x7f]/.test(note) || !isUTF8(note)) throw bad('enrolment: a control character, or not UTF-8');
  const end = note.indexOf('\n\n');
  const line = note.slice(end + 2, -1);
  if (end < 0 || !note.endsWith('\n') || end + 2 >= note.length || line.includes('\n')) {
    throw bad('an enrolment is a text, an empty line and one signature line');
  }
  const text = note.slice(0, end + 1);
  const e = await readText(text);
  let sig;
  try {
    sig = parseSignatureLine(line, 64, end + 2);
  } catch (err) {
    throw bad(err.message);
  }
  const key = enrollers.find((k) => k.name === sig.name && k.id === sig.id);
  if (key === undefined) throw mismatch('strange-enroller', 'enrolment is signed by no known enroller');
  if (!(await verifyPlain(key, text, sig))) throw mismatch('strange-enroller', "the enroller's signature does not verify");
  return { ...e, enroller: key };
}

async function readText(text) {
  const lines = text.slice(0, -1).split('\n');
  if (lines.length < 7 || lines.length > 6 + maxAgents || lines[0] !== 'steno/enrolment/v1') {
    throw bad(`an enrolment is "steno/enrolment/v1", five lines and 1 to ${maxAgents} agents`);
  }
  const [, origin, vkey, holder, from, until, ...agents] = lines;
  if (!originPattern.test(origin)) throw bad('origin');
  let key;
  try {
    key = await plainKey(vkey);
  } catch (err) {
    throw bad(`recorder's verifier key: ${err.message}`);
  }
  if (key.name === origin || key.name === `${origin}/received`) throw bad("recorder's name is that of the log, or of its receipts");
  if (!['agent', 'gateway', 'operator'].includes(holder)) throw bad('holder is none of agent, gateway, operator');
  if (!isTime(from) || !isTime(until) || from >= until) throw bad('window is not two times, the first before the second');
  if (agents[0] === '*') {
    if (agents.length > 1 || holder === 'agent') throw bad('* stands alone, and not for a key that an agent holds');
  } else if (!agents.every((a, i) => idPattern.test(a) && (i === 0 || agents[i - 1] < a))) {
    throw bad('agents are not ids in order, each once');
  }
  return { origin, key, holder, from, until, agents };
}

/** checkCovers refuses an enrolment that does not allow a recorder to open a track at a time of receipt. */
export function checkCovers(e, origin, open, received) {
  if (e.origin !== origin) throw mismatch('enrolment-mismatch', 'enrolment is for another log');
  if (e.agents[0] !== '*' && !e.agents.includes(open.agent)) throw mismatch('enrolment-mismatch', 'enrolment is not for this agent');
  if (open.vantage === 'observed' && e.holder !== 'gateway') throw mismatch('enrolment-mismatch', "only a gateway's recorder observes");
  if (received < e.from) throw mismatch('enrolment-expired', `enrolment is valid from ${e.from}, received at ${received}`);
  if (received >= e.until) throw mismatch('enrolment-expired', `enrolment was valid until ${e.until}, received at ${received}`);
}

/** timeOf writes microseconds since 1970, a BigInt, in the one form of times, which sorts as time does. */
export function timeOf(us) {
  const s = new Date(Number(us / 1000n)).toISOString();
  return `${s.slice(0, -1)}${String(us % 1000n).padStart(3, '0')}Z`;
}

/** noteIn is a text member of an event, which JSON.parse has read, as a binary string. */
export const noteIn = (text) => (/[^\x00-\x7f]/.test(text) ? binary(encoder.encode(text)) : text);

const encoder = new TextEncoder();
