// The page: files come in by hand, and what was found is shown as text.

import { isFault } from './anchors.mjs';
import { cut, hexOf } from './bytes.mjs';
import { contradictionText } from './clocks.mjs';
import { sha256, unsupported } from './crypt.mjs';
import { append, at, badge, digest, el } from './dom.mjs';
import { schema } from './schema.mjs';
import { tooEarly, verify } from './verify.mjs';
import { badgeOf, badges, checkText, custodyView, gapText, headline, meaning, ownEntries, placeText, runs, timelines, worth } from './view.mjs';

const maxFile = 1 << 30; // bytes: all of it is held in memory
const rowsAtOnce = 2000; // of all sessions, before somebody asks for more
// A table is laid out as a whole: one of a thousand rows takes longer than it takes to verify them. So rows stand in tables of a
// few, and beyond the first ones the style leaves those that are out of sight until somebody gets there.
const rowsInTable = 50;
const rowsLaidOut = 100;
const maxShown = 64 << 10; // bytes of a payload, before somebody asks for all
const maxNodes = 100_000; // of which payloads are made up, before somebody asks: a byte that can't be seen is one or two

const byID = (id) => document.getElementById(id);

// Times.

function showZone() {
  const zone = byID('zone').value;
  let format = null;
  if (zone !== 'UTC') {
    format = new Intl.DateTimeFormat('sv-SE', {
      timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'longOffset',
    });
  }
  for (const t of document.querySelectorAll('time')) {
    if (format === null && t.lastChild.firstChild === null) continue;
    const d = new Date(cut(t.getAttribute('datetime'), '.')[0].replace(/Z?$/, 'Z'));
    t.lastChild.textContent = format === null ? '' : `(${format.format(d).replace('GMT', 'UTC')})`;
  }
  byID('zone-note').textContent = format === null ? '' : ` and in ${zone}`;
}

// Files.

const files = { trust: null, bundle: null };
let run = 0;

/** take sorts a file by its first bytes, whatever box it was put into, and whatever its name. It says why it was not read, or ''. */
async function take(file) {
  if (file.size > maxFile) return forget(`${file.name} has ${file.size} bytes: this page reads files of up to 1 GiB. Use steno-verify.`);
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch (err) {
    return forget(`${file.name} could not be read: ${err?.message ?? err}.`);
  }
  const kind = String.fromCharCode(...bytes.subarray(0, 12)) === 'steno/trust/' ? 'trust' : 'bundle';
  files[kind] = { name: file.name, bytes, digest: hexOf(await sha256(bytes)) };
  showFile(kind);
  return '';
}

/** forget is for a file that was not read. What was read before is not judged in its place: that would be taken for its verdict. */
function forget(why) {
  files.bundle = null;
  byID('bundle').classList.remove('has');
  byID('bundle-file').replaceChildren();
  return why;
}

function showFile(kind) {
  const f = files[kind];
  const box = byID(kind);
  box.classList.add('has');
  const compared = el('span.compared', { role: 'status' });
  const input = el('input', { type: 'text', placeholder: 'paste the SHA-256 that you were given', 'aria-label': `SHA-256 to compare the ${kind} file with`, spellcheck: 'false' });
  input.addEventListener('input', () => {
    const given = input.value.toLowerCase().replace(/[^0-9a-f]/g, '');
    compared.textContent = input.value === '' ? '' : given === f.digest ? 'the same' : 'NOT the same';
    compared.className = given === f.digest ? 'compared same' : 'compared differs';
  });
  byID(`${kind}-file`).replaceChildren(el('p', null, el('strong', null, f.name), ` (${f.bytes.length} bytes)`), digest(f.digest), el('p.compare', null, input, compared));
}

function problem(words) {
  byID('result').replaceChildren(el('p.problem', { role: 'alert' }, words));
}

async function takeAll(list) {
  for (const name of Object.keys(document.body.dataset)) if (name !== 'ready') delete document.body.dataset[name];
  byID('result').replaceChildren();
  run++; // what is being judged is of files before these
  const wrong = [];
  for (const f of list) wrong.push(await take(f));
  if (wrong.some((w) => w !== '')) problem(`NOT JUDGED. ${wrong.filter((w) => w !== '').join(' ')}`);
  else if (files.trust !== null && files.bundle !== null) await judge();
}

/** judge verifies the files as they are now. If others come while it does, what it finds is not shown. */
async function judge() {
  const mine = ++run;
  byID('result').replaceChildren(el('p.status', { role: 'status' }, 'Verifying…'));
  await new Promise(requestAnimationFrame);
  const before = performance.now();
  try {
    const v = await verify(files.bundle.bytes, files.trust.bytes, schema);
    if (mine !== run) return;
    show(v);
    document.body.dataset.exit = String(v.report.exit);
  } catch (err) {
    if (mine !== run) return;
    problem(`NOT JUDGED. This page failed: ${err?.message ?? err}. Use steno-verify, and please report it.`);
    document.body.dataset.exit = 'none';
  }
  document.body.dataset.milliseconds = String(Math.round(performance.now() - before));
  document.body.dataset.judged = 'yes'; // last: tests wait for it
}

// Results.

function show(v) {
  const r = v.report;
  const whole = badgeOf(v);
  Object.assign(document.body.dataset, { verdict: r.verdict, badge: whole });
  const result = byID('result');
  const rows = timelines(v);
  let left = rowsAtOnce;
  room = maxNodes;
  inSight = rowsLaidOut;
  const session = (s) => {
    const of = rows.get(s.session);
    const now = Math.min(left, of.length);
    left -= now;
    return sessionOf(s, of, now);
  };
  result.replaceChildren();
  append(result, [
    el(`section.verdict.${whole.replaceAll(' ', '-')}`, null, el('h2', null, badge(whole), ' ', headline(r)),
      el('p', null, badges[whole], r.verdict === 'not-checked' ? '. Only steno-verify can tell.' : `. steno-verify would end with exit code ${r.exit}.`),
      r.error !== undefined && el('p.problem', null, r.error)),
    findings(r), custodyOf(v), basisOf(v), notChecked(r), r.sessions.map(session), ownOf(v, rows.get(ownEntries), left), checksOf(r), jsonOf(r), legend(),
  ]);
  showZone();
}

function findings(r) {
  const bad = r.checks.filter((c) => c.where !== undefined);
  return bad.length > 0 && el('section', null, el('h2', null, 'What is not as it should be'), bad.map((c) => el(`div.finding.${c.outcome}`, null,
    el('p', null, el('strong', null, c.outcome.toUpperCase()), ` ${c.id}: `, c.detail),
    placeText(c.where) !== '' && el('p.place', null, `at ${placeText(c.where)}`),
    c.others > 0 && el('p.place', null, `and ${c.others} more of the same check`))));
}

/** custodyOf shows who handed the file over, in the words of whoever made it. */
function custodyOf(v) {
  if (!v.bundle?.custody) return null;
  const c = custodyView(v);
  const list = (rows) => el('dl', null, rows.map(([name, text]) => [el('dt', null, name), el('dd', null, name === 'made' ? at(text) : text)]));
  return el('section.custody', { 'data-badge': c.badge }, el('h2', null, 'Custody record'),
    el('p', null, badge(c.badge), c.badge === 'failed' ? ' It is not right: ' : ' Checked: ', c.checked, '.'),
    c.raw !== null && [el('p', null, 'As it stands in the file:'), el('pre.content', null, { raw: c.raw })],
    c.recorded.length > 0 && list(c.recorded),
    c.words.length > 0 && [el('p.of-the-maker', null, badge('not checked'), ' The words of whoever made this file, which nobody has checked:'), list(c.words)]);
}

/** claimsOf shows what the file says that it holds, and what it was made too early for. */
function claimsOf(v) {
  const { range, pending } = v.bundle;
  const state = (id) => v.report.checks.find((c) => c.id === id);
  const early = pending.map((id) => el('p', null, state(id).outcome === 'incomplete'
    ? [badge('pending'), ` made before ${tooEarly[id]}: ask for a later one`] : `made before ${tooEarly[id]}, by its own word; nothing that is demanded is missing for that`));
  return [
    range !== null && [el('dt', null, 'range'), el('dd', null, `every leaf of the log from ${range.from} up to, but not, ${range.to}: ${state('range').passed} are here`)],
    early.length > 0 && [el('dt', null, 'made early'), el('dd', null, early)],
  ];
}

/** ownOf shows, of a file that is of a range, the entries of the log's own that are of no session of the file. */
function ownOf(v, rows, left) {
  if (rows === undefined || rows.length === 0) return null;
  return el('section.session', null, el('h2', null, "The log's own entries in the range"), timelineOf({ tracks: [] }, rows, Math.min(left, rows.length)));
}

function basisOf(v) {
  const r = v.report;
  if (r.origin === undefined) return null;
  const cp = r.checkpoint;
  return el('section', null, el('h2', null, 'By which keys'), el('dl', null,
    el('dt', null, 'log'), el('dd', null, r.origin),
    el('dt', null, 'trust file'), el('dd', null, digest(r.trust_sha256), el('p.hint', null, 'Compare it with what you were given by somebody you trust.')),
    el('dt', null, 'this evidence'), el('dd', null, digest(r.bundle_sha256)),
    cp && [el('dt', null, 'checkpoint'), el('dd', null, `size ${cp.size}, root `, el('code', null, cp.root)), el('dt', null, 'seen by'), el('dd', null, seenBy(v, cp))],
    cp && claimsOf(v),
    anchors(r)));
}

function seenBy(v, cp) {
  if (cp.cosigned.length === 0) return 'no pinned witness';
  const times = cp.cosigned.map((c) => c.time).sort();
  return [
    el('p', null, cp.witnessed ? 'as the trust file demands: ' : v.trust.needsWitnesses() ? 'not as the trust file demands: ' : 'not that the trust file demands it: ',
      'this history existed between ', at(times[0]), ' and ', at(times.at(-1)), " at the latest, by the witnesses' own clocks"),
    el('table', null, el('tbody', null, cp.cosigned.map((c) => el('tr', null, el('td', null, c.operator), el('td', null, el('code', null, c.key)), el('td', null, at(c.time)))))),
  ];
}

/** anchors lists the tokens of time-stamp authorities, and which of them count. */
function anchors(r) {
  return r.anchors.length > 0 && [el('dt', null, 'time stamps'), el('dd', null, el('ul.stamps', null, r.anchors.map((a) => el('li', null, a.counts
    ? [`${a.authority} says `, at(a.time), `, exact to ${a.accuracy_ms ?? 0} ms, of the first ${a.size} entries (log index ${a.index})`]
    : [a.reason === 'not-checked-here' ? badge('not checked') : isFault(a.reason) ? badge('failed') : 'does not count:',
      ` a token of ${a.authority} at log index ${a.index} (${a.reason}): ${a.detail}`]))))];
}

/** bracketsOf says what others than the log say of when a session was logged. */
function bracketsOf({ not_before: after, not_after: before, authorities, stamps, witnessed: w, contradiction }) {
  const by = (b) => [at(b.time), ` (${b.authority}, log index ${b.anchor_index})`];
  const words = [];
  if (after && before) words.push(['Logged after ', by(after), ' and before ', by(before), ', by time-stamp authorities.']);
  else if (before) words.push(['Logged before ', by(before), ', by a time-stamp authority; after when, none says.']);
  else if (after) words.push(['Logged after ', by(after), ', by a time-stamp authority; before when, not enough of them say.']);
  else words.push(['No time-stamp authority says when it was logged.']);
  if (before && stamps > 1) words.push([` By then it was stamped by ${stamps} authorities, as is demanded; all that did: ${authorities.join(', ')}.`]);
  const [from, to] = [w?.not_before, w?.not_after];
  if (w) words.push([' Logged ', from && ['after ', at(from.time)], from && to && ' and ', to && ['before ', at(to.time)], ', by the clocks of a quorum of pinned witnesses.']);
  return [el('p.brackets', null, words), contradiction && el('p.contradiction', null, el('strong', null, 'These clocks contradict each other: '), contradictionText(contradiction), '.')];
}

function notChecked(r) {
  return r.not_checked.length > 0 && el('section', null, el('h2', null, 'What was NOT checked'), el('ul.not-checked-list', null, r.not_checked.map((n) => el('li', { 'data-id': n.id }, n.why))));
}

function checksOf(r) {
  return el('section', null, el('h2', null, 'What was checked'), el('table.checks', null, el('tbody', null, r.checks.map((c) => el('tr', null,
    el('td', null, c.id), el(`td.outcome.${c.outcome}`, null, c.outcome), el('td.number', null, c.passed), el('td', null, checkText[c.id]))))));
}

function jsonOf(r) {
  const plain = (_, x) => (typeof x === 'bigint' ? Number(x) : x);
  // As steno-verify writes it: in printable ASCII, which says the same to a program.
  const json = JSON.stringify(r, plain).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return el('details.screen', null, el('summary', null, 'The report as JSON'), el('pre', { id: 'json' }, json));
}

function legend() {
  return el('section', null, el('h2', null, 'What the badges mean'), el('dl.legend', null, Object.entries(badges).map(([name, text]) => [el('dt', null, badge(name)), el('dd', null, text)])));
}

function sessionOf(s, rows, now) {
  const facts = [['agent', s.agent], ['privilege', s.privilege], ['outcome', s.outcome]].map(([k, x]) => `${k} ${x ?? 'unknown'}`).join(', ');
  return el('section.session', { 'data-session': s.session }, el('h2', null, `Session ${s.session}: `, el(`strong.${s.verdict}`, null, s.verdict.toUpperCase())),
    el('p', null, meaning(s.verdict), '. ', facts, '.'),
    s.logged_from !== undefined && el('p', null, 'Logged between ', at(s.logged_from), ' and ', at(s.logged_until), ", by the log's word."),
    s.time && bracketsOf(s.time),
    el('p', null, `${s.events} events, ${s.actions} actions. Sealed content: ${s.payloads?.blobs ?? 0} pieces named, ${s.payloads?.included ?? 0} in this file, `
      + `${s.payloads?.disclosed ?? 0} payloads disclosed in part or whole.`),
    s.tracks.length > 0 && tracksOf(s),
    s.gaps.length > 0 && el('ul.gaps', null, s.gaps.map((g) => el('li', null, 'gap: ', gapText(g)))),
    s.alerts.length > 0 && el('ul.gaps', null, s.alerts.map((a) => el('li', null, `alert of the log: ${a.alert} (${a.severity}), log index ${a.index}`))),
    timelineOf(s, rows, now));
}

function tracksOf(s) {
  return el('table.tracks', null, el('thead', null, el('tr', null, ['track', 'signed by', 'worth', 'key', 'enrolled by', 'opened by', 'events', 'log index'].map((h) => el('th', null, h)))),
    el('tbody', null, s.tracks.map((t) => el('tr', null, el('td', null, t.track), el('td', null, t.signed_by), el('td', null, worth(t)), el('td', null, t.recorder), el('td', null, t.enroller),
      el('td', null, t.admitted ? `${t.admitted.principal} (${t.admitted.how}), by the log's word` : 'not said'), el('td', null, `${t.events} in ${t.entries} entries`,
        t.repeats > 0 && `, ${t.repeats} leaves repeated word for word`), el('td', null, `${t.first_index} to ${t.last_index}`)))));
}

/** timelineOf shows the first rows of a session now, and the others when somebody asks. */
function timelineOf(s, rows, now) {
  const lanes = [...new Set([...s.tracks.map((t) => t.track), ...rows.map((x) => x.track).sort()])];
  const tables = el('div');
  const more = el('p.more');
  let shown = 0;
  const grow = (n) => {
    const end = Math.min(shown + n, rows.length);
    for (; shown < end; shown += rowsInTable) tables.append(tableOf(rows.slice(shown, Math.min(shown + rowsInTable, end)), lanes));
    shown = end;
    more.replaceChildren();
    if (shown >= rows.length) return;
    const next = Math.min(rowsAtOnce, rows.length - shown);
    const button = el('button', { type: 'button' }, `show ${next} more`);
    button.addEventListener('click', () => {
      room = maxNodes;
      grow(next);
      showZone();
    });
    append(more, [`${rows.length - shown} more events were judged, and are not shown here. `, button]);
  };
  grow(now);
  return [el('h3', null, 'Timeline'), tables, more];
}

function tableOf(rows, lanes) {
  const head = el('tr', null, el('th.when', null, 'received'), lanes.map((t) => el('th.lane', null, el('span', null, t))), el('th', null, 'event'));
  const table = el('table.timeline', null, el('thead', null, head), el('tbody', null, rows.map((x) => rowOf(x.row(), lanes))));
  inSight -= rows.length;
  if (inSight >= 0) return table;
  const far = el('div.far', null, table);
  far.style.containIntrinsicBlockSize = `auto ${rows.length * 6}rem`; // a guess, until it is laid out
  return far;
}

function rowOf(x, lanes) {
  const facts = x.members.map(([name, text]) => el('span.fact', null, el('span.name', null, name), ' ', text));
  return el('tr', { 'data-badge': x.badge, 'data-index': String(x.index) },
    el('td.when', null, at(x.received)), lanes.map((t) => el(t === x.track ? 'td.lane.here' : 'td.lane', null, t === x.track && el('span.dot', { title: t }))),
    el('td.what', null,
      el('p', null, badge(x.badge), ' ', el('strong', null, x.type), el('span.where', null, ` ${x.track}/${x.seq}, log index ${x.index}`), x.repeat && ' (repeated word for word: counts once)'),
      facts.length > 0 && el('p.facts', null, facts), x.payloads.map(payloadOf), exact(x)));
}

let room = 0; // of maxNodes, what is left
let inSight = 0; // of rowsLaidOut, what is left

function payloadOf(p) {
  const content = el('pre.content');
  if (p.segments !== null) {
    const list = runs(p.segments);
    const total = list.reduce((n, r) => n + (r.bytes?.length ?? 0), 0);
    const fits = room > 0;
    if (fits) fillContent(content, list, total > maxShown ? maxShown : Infinity);
    room -= content.childNodes.length;
    if (!fits || total > maxShown) {
      const button = el('button', { type: 'button' }, `show all ${total} bytes`);
      button.addEventListener('click', () => {
        fillContent(content, list, Infinity);
        button.remove();
      });
      return el('div.payload', { 'data-badge': p.badge }, payloadHead(p), content, button);
    }
  }
  return el('div.payload', { 'data-badge': p.badge }, payloadHead(p), p.segments !== null && content);
}

function payloadHead(p) {
  const how = p.wrong !== '' ? p.wrong : p.segments === null ? 'sealed, and not shown' : p.badge === 'redacted' ? 'shown in part' : 'shown';
  return el('p', null, badge(p.badge), ' ', el('span.name', null, p.slot), ` ${p.media}, ${p.classes.join(' and ')}: ${how}`);
}

function fillContent(content, list, most) {
  content.replaceChildren();
  let left = most;
  for (const r of list) {
    if (left <= 0) break;
    if (r.hidden !== undefined) {
      content.append(el('span.hidden-segment', null, r.hidden === 1 ? '1 segment hidden' : `${r.hidden} segments hidden`));
      continue;
    }
    append(content, [{ raw: r.bytes.slice(0, left) }]);
    left -= r.bytes.length;
  }
}

/** exact holds the exact text of an entry, which is made when somebody looks. */
function exact(x) {
  const d = el('details.screen', null, el('summary', null, 'exact text of the entry'));
  d.addEventListener('toggle', () => {
    if (d.open && d.children.length === 1) d.append(el('pre.content', null, { raw: String.fromCharCode(...x.leaf.bytes) }));
  });
  return d;
}

// Start.

async function start() {
  const zones = byID('zone');
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const z of ['UTC', ...Intl.supportedValuesOf('timeZone').filter((x) => x !== 'UTC')]) zones.append(el('option', z === here ? { value: z, selected: '' } : { value: z }, z));
  zones.addEventListener('change', showZone);
  const why = await unsupported();
  if (why !== '') {
    byID('inputs').hidden = true;
    problem(`NOT JUDGED: not supported by this browser. ${why}. Use a current Chromium, Firefox or Safari, or steno-verify.`);
    return;
  }
  for (const input of document.querySelectorAll('input[type=file]')) {
    input.addEventListener('change', () => takeAll([...input.files]));
  }
  document.addEventListener('dragover', (e) => e.preventDefault());
  document.addEventListener('drop', (e) => {
    e.preventDefault();
    takeAll([...e.dataTransfer.files]);
  });
  document.body.dataset.ready = 'yes';
}

start();
