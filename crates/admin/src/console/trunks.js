// Trunks: one sortable row each, with peers, addresses, registration and phones below the row.

import * as api from './api.js';
import { chip, facts, h, moment, rich, swap, table } from './dom.js';
import { ago, count, figure, kind, local, many, masked, time } from './format.js';
import { lastHour, listing } from './listing.js';
import { spark } from './plot.js';
import { colourOf, problemList } from './problems.js';

/** Seconds. */
const HOUR = 3600;
/** Codes of rejections shown in a row. */
const CODES = 2;
const STATES = ['', 'up', 'down', 'unknown'];

/** The shortest response time to OPTIONS of its addresses. */
export function roundTrip(trunk) {
  const all = trunk.peers.flatMap((peer) => peer.addresses.map((one) => one.rtt_ms)).filter((one) => one !== null);
  return all.length ? Math.min(...all) : null;
}

/** Figures of a fault of a trunk or agent. */
const share = (fault) => (fault ? ` ${count(fault.calls)} of ${many(fault.of, 'call')}` : '');
/** Codes by which a side rejects another for its codecs. */
const CODECS = [488, 606];
/** The codes of all rejections that are counted; of some alone if there are too many to name. */
const allCodes = ({ answers }) => [...new Set(answers.map(({ code }) => code))].join(',');
/** The side that rejected calls of a trunk for their codecs; '' if it sends another codec than the negotiated one. */
const rejecter = ({ hour }) => ['received', 'sent'].find((side) => hour?.codes.some(({ direction, code }) => direction === side && CODECS.includes(code))) || '';
/** A party that is not heard: in the live calls that `status` names, else in those of the hour, of which an agent has the ended ones. */
function oneWay({ unheard, silent }, { live_calls: live }) {
  if (live) return { text: `no audio in ${live === 1 ? 'a live call' : `${count(live)} live calls`}`, calls: { flag: 'one_way', state: 'live' } };
  return { text: `no audio in${share(unheard || silent)}`, calls: { flag: 'one_way', state: unheard ? '' : 'ended' } };
}
/** Problems of a trunk or agent by `kind`: the text of their chip, and the filter of their calls. */
const KINDS = {
  down: () => ({ text: 'does not respond' }),
  rejects: ({ rejected }) => ({ text: `rejects${share(rejected)}`, calls: rejected ? { direction: 'received', code: allCodes(rejected) } : null }),
  not_registered: () => ({ text: 'not registered' }),
  one_way: oneWay,
  stopped: ({ stopped }) => ({ text: `audio stopped in${share(stopped)}`, calls: { flag: 'one_way' } }),
  unsent: ({ unsent }) => ({ text: `packets not sent in${share(unsent)}`, calls: { flag: 'unsent' } }),
  codec_mismatch: (trunk) => ({ text: `codecs in${share(trunk.codec_mismatch)}`, calls: { flag: 'codec_mismatch', direction: rejecter(trunk) } }),
  loss: ({ loss }) => ({ text: `packet loss in${share(loss)}`, calls: { flag: 'loss' } }),
  poor_audio: () => ({ text: 'poor audio' }),
  // Another target may have answered these calls: their outcome says nothing of this one.
  fails: ({ name, failed }) => ({ text: failed ? `failed in${share(failed)}` : 'fails', calls: { trunk: '', failing: name } }),
};

/** What a problem says of a party; a route without a target left is a problem of several parties. */
const partIn = (problem, key, name) => [problem, ...(problem.others || [])].find((part) => part[key] === name && KINDS[part.kind]);

/** The colour of a party that callers do not get, by its problems: red where they are lost, or none says what becomes of them; else amber. */
function lossOf(own) {
  const colours = own.map(colourOf);
  return colours.length && !colours.includes('bad') ? 'warn' : 'bad';
}

/** The colour of a trunk that is down, by the harm that its problem does: a spare one loses no call; null if it is not down. */
export function downKind(trunk, problems) {
  if (trunk.state !== 'down') return null;
  return lossOf(problems.filter((problem) => partIn(problem, 'trunk', trunk.name)?.kind === 'down'));
}

/** Colour of an agent that callers do not get: red where they are lost, amber where they go on to another target; null for one that they get. */
export function outKind(agent, problems) {
  if (!['down', 'skipped'].includes(agent.state)) return null;
  return lossOf(problems.filter((problem) => problem.harm !== 'past' && partIn(problem, 'agent', agent.name)));
}

/** A problem in a sentence. */
const inWords = (problem) => `${problem.headline}${problem.evidence ? `: ${problem.evidence}` : ''}`.replaceAll('`', '');
/** The same with its fix, as the tooltip of a chip. */
const withFix = (problem) => [inWords(problem), problem.fix && `Try: ${problem.fix.replaceAll('`', '')}`].filter(Boolean).join('. ');

/** Why a trunk or agent gets no calls, in words; '' if no problem says so. */
export function reason(party, problems, page = 'trunks') {
  const key = page === 'trunks' ? 'trunk' : 'agent';
  const own = problems.find((problem) => problem.harm !== 'past' && ['down', 'not_registered', 'fails'].includes(partIn(problem, key, party.name)?.kind));
  return own ? inWords(own) : '';
}

/** The problems that `/v1/status` has of a trunk or agent, the worst first: {text, title, words: the title without its fix, link, harm, kind, isNow}. What is past is neutral; `isShort`: ended calls of the last hour are not all kept. */
export function faults(party, problems, page = 'trunks', isShort = false) {
  const key = page === 'trunks' ? 'trunk' : 'agent';
  const partOf = (problem) => partIn(problem, key, party.name);
  const own = problems.map((problem) => [problem, partOf(problem)]).filter(([, part]) => part && !(part.kind === 'down' && party.state === 'down'));
  const all = own.map(([problem, part]) => {
    const { text, calls } = KINDS[part.kind](party, problem);
    const link = calls ? `#/calls${api.query({ trunk: party.name, ...calls, within: HOUR })}` : `#/${page}${api.query({ [key]: party.name })}`;
    return { text: isShort && calls ? `${text}, 1 h` : text, title: withFix(problem), words: inWords(problem), link, harm: problem.harm, kind: colourOf(problem), isNow: problem.harm !== 'past' };
  });
  // Several routes without a target may have the same party.
  return all.filter(({ text, link }, at) => all.findIndex((one) => one.text === text && one.link === link) === at);
}

/** What is wrong with a party, as its row opens: the problems of `/v1/status`, each with its fix. */
export function explained(party, problems, page = 'trunks') {
  return problemList(problems.filter((problem) => partIn(problem, page === 'trunks' ? 'trunk' : 'agent', party.name)));
}

/** Chips of faults. */
export function faultChips(all) {
  return all.map((fault) => [' ', h('a', { href: fault.link, title: masked(fault.title), class: `chip ${fault.kind}` }, fault.text)]);
}

/** Class of the row of a party: a red mark where calls fail, an amber one for less. `isOut`: callers lose their calls without it. */
export function markOf(isOut, all, isDown = isOut) {
  if (!isDown && !isFaulty(all)) return null;
  return isOut || all.some((fault) => fault.isNow && fault.kind === 'bad') ? 'marked' : 'marked warned';
}

/** The place of a party in the order of its problems: what is down and loses calls, what loses calls, what harms their audio, what does less. */
export function severity(isOut, all, isDown = isOut) {
  if (isOut) return 0;
  const now = all.filter((fault) => fault.isNow);
  if (now.length === 0) return isDown ? 3 : null;
  return now.some(({ harm, kind: of }) => of === 'bad' && harm !== 'media') ? 1 : now.some(({ kind: of }) => of === 'bad') ? 2 : 3;
}

/** Whether one of them harms calls now. */
export function isFaulty(all) {
  return all.some((fault) => fault.isNow);
}

/** A score with its colour. */
export function score(mos) {
  return isFinite(mos ?? NaN) ? h('span', { class: mos < 3.1 ? 'bad' : mos < 3.6 ? 'warn' : 'good' }, figure(mos, 2)) : '–';
}

/** A count in a table; none is dim, so that the others are seen. */
export const tally = (value, text = count(value)) => (value ? text : h('span', { class: 'dim' }, text));

/** The last problem, with its age. */
export function lastProblem(one) {
  if (!one.last_problem) return h('span', { class: 'dim' }, '–');
  return h('span', { class: 'last' }, h('span', { class: 'why' }, rich(local(masked(one.last_problem)))), ' ', h('span', { class: 'dim nowrap', title: one.last_problem_at }, ago(one.last_problem_at)));
}

/** Directions of codes, with the word and the explanation that the page has for each. */
const DIRECTIONS = [
  ['received', 'got', (trunk) => `sent by ${trunk} to the edge`],
  ['sent', 'sent', (trunk) => `sent by the edge to ${trunk}`],
];

/** The most frequent codes: those that the trunk sent to the edge, then those that the edge sent to it; each leads to the calls that are counted. */
function codes(trunk, most) {
  const one = (by) => ({ code, calls, direction }) => h('span', { class: 'nowrap' }, h('a', { href: `#/calls${api.query({ trunk: trunk.name, direction, code, within: HOUR })}`, title: `${many(calls, 'call')} with ${code}, ${by}` }, code), `\u00a0×${count(calls)} `);
  const shown = DIRECTIONS.map(([direction, word, by]) => {
    const all = trunk.hour.codes.filter((each) => each.direction === direction);
    return all.length ? h('span', { class: 'codes' }, h('span', { class: 'dim', title: by(trunk.name) }, `${word} `), all.slice(0, most).map(one(by(trunk.name))), all.length > most ? h('span', { class: 'dim', title: all.slice(most).map(({ code, calls }) => `${code} ×${calls}`).join(', ') }, `+${all.length - most}`) : '') : null;
  });
  return shown.some(Boolean) ? shown : '–';
}

/** The time that the counts of the last hour cover, as a heading: `1 h`; less on an edge with more calls than it keeps. */
export function covered(since) {
  const seconds = since ? (Date.now() - new Date(since)) / 1000 : HOUR;
  if (seconds >= HOUR - 30) return '1 h';
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
}

/** Name and label of a column that covers this time. */
export const latelyIn = (name, since) => ({ name: `${name}, 1 h`, label: () => `${name}, ${covered(since())}` });

/** Says that ended calls are counted since then only; null where that is an hour. */
export function coveredNote(since) {
  return covered(since) === '1 h' ? null
    : `The edge keeps the newest 10\u202f000 ended calls: columns with ${covered(since)}, and the lists of calls, begin at ${time(since)}. Problems and their figures are those of the whole hour.`;
}

function columns(samples, problems, since) {
  const own = (trunk) => faults(trunk, problems(), 'trunks', covered(since()) !== '1 h');
  const lately = (name) => latelyIn(name, since);
  return [
    { name: 'Trunk', cell: (trunk) => h('strong', {}, trunk.name), sort: (trunk) => trunk.name },
    { name: 'State', cell: (trunk) => [chip(downKind(trunk, problems()) || kind(trunk.state), trunk.state, trunk.state === 'unknown' ? 'Not monitored, or nothing heard of it yet' : null), trunk.registration && trunk.registration.state === 'trying' ? [' ', chip('plain', 'registering')] : null,
      faultChips(own(trunk))], sort: (trunk) => severity(downKind(trunk, problems()) === 'bad', own(trunk), trunk.state === 'down') ?? { unknown: 4, up: 5 }[trunk.state] ?? 6, wide: true, class: 'head' },
    { name: 'Sessions', title: 'Live calls, of the limit', cell: (trunk) => h('span', { title: `${trunk.hour.live_in} from the trunk, ${trunk.hour.live_out} to it` }, tally(trunk.calls, `${count(trunk.calls)}${trunk.max_calls ? ` / ${count(trunk.max_calls)}` : ''}`)), sort: (trunk) => trunk.calls, down: true, class: 'number' },
    { ...lately('In'), title: 'Calls from the trunk that ended in this time', cell: (trunk) => tally(trunk.hour.calls_in), sort: (trunk) => trunk.hour.calls_in, down: true, class: 'number' },
    { ...lately('Out'), title: 'Calls to the trunk that ended in this time', cell: (trunk) => tally(trunk.hour.calls_out), sort: (trunk) => trunk.hour.calls_out, down: true, class: 'number' },
    { name: 'ASR', title: 'Answered calls of those tried to the trunk, since the start', cell: (trunk) => (trunk.answered_ratio === null ? '–' : h('span', { title: `of ${many(trunk.tried, 'call')}` }, `${figure(trunk.answered_ratio * 100, 0)} %`)), sort: (trunk) => trunk.answered_ratio, class: 'number' },
    { ...lately('Codes'), title: 'Codes of this time: got (from the trunk, rejecting calls to it) and sent (by the edge, rejecting calls from the trunk)', cell: (trunk) => codes(trunk, CODES), sort: (trunk) => trunk.hour.codes.reduce((sum, { calls, direction }) => sum + (direction === 'received' ? calls : 0), 0), down: true, wide: true },
    { name: 'RTT', title: 'Response time to OPTIONS', cell: (trunk) => figure(roundTrip(trunk), 1, ' ms'), sort: roundTrip, down: true, class: 'number nowrap' },
    { ...lately('MOS'), title: 'Mean score of the audio received from the trunk', cell: (trunk) => score(trunk.hour.mos), sort: (trunk) => trunk.hour.mos, class: 'number' },
    { name: 'Last hour', cell: (trunk) => spark(samples(), (sample) => sample.trunks[trunk.name] || 0, 'Sessions'), wide: true, class: 'roomy' },
    { name: 'Last problem', cell: lastProblem, sort: (trunk) => (trunk.last_problem_at ? Date.parse(trunk.last_problem_at) : null), down: true, wide: true, class: 'own roomy' },
  ];
}

function addresses(trunk) {
  const rows = trunk.peers.flatMap((peer) => (peer.addresses.length ? peer.addresses : [{ state: peer.state }]).map((address) => ({ uri: peer.uri, ...address })));
  return table([
    { name: 'Peer', cell: (row) => h('code', {}, row.uri) },
    { name: 'Address', cell: (row) => (row.address ? `${row.transport} ${row.address}` : 'not resolved yet') },
    { name: 'State', cell: (row) => chip(kind(row.state), row.state) },
    { name: 'Round trip', cell: (row) => figure(row.rtt_ms, 1, ' ms'), class: 'number' },
    { name: 'Last OPTIONS', cell: (row) => (row.last_options ? h('span', { title: row.last_options }, ago(row.last_options)) : '–') },
    { name: 'Failures', title: 'OPTIONS and calls without an answer, in a row', cell: (row) => count(row.failures), class: 'number' },
    { name: 'Last problem', cell: (row) => [row.last_problem || '–', row.rests_seconds ? `, Retry-After ${row.rests_seconds} s` : ''] },
  ], { caption: `Peers of ${trunk.name}`, rows, empty: trunk.phones ? 'None configured: phones register here.' : 'None.' });
}

function phones(trunk) {
  return table([
    { name: 'Phone', cell: (phone) => `${phone.transport} ${phone.address}` },
    { name: 'Registered until', cell: (phone) => moment(phone.expires_at) },
  ], { caption: `Phones of ${trunk.name}`, rows: trunk.phones, empty: 'No phone is registered.' });
}

function detail(trunk, problems) {
  const { hour, registration } = trunk;
  const calls = (text, more) => h('a', { href: `#/calls${api.query({ trunk: trunk.name, ...more })}` }, text);
  return h('div', { class: 'details', id: `trunk-${trunk.name}` },
    explained(trunk, problems),
    facts([
      ['Live calls', `${count(hour.live_in)} from the trunk, ${count(hour.live_out)} to it${trunk.max_calls ? `, limit ${count(trunk.max_calls)}` : ''}`], ['Calls/s', count(trunk.cps)],
      ['Calls to the trunk since start', `${count(trunk.tried)}, ${count(Math.round((trunk.answered_ratio || 0) * trunk.tried))} answered`], ['Codes in the last hour', codes(trunk, 8)],
      ['Last problem', trunk.last_problem ? [rich(local(masked(trunk.last_problem))), ' · ', moment(trunk.last_problem_at)] : 'none'],
    ]),
    registration ? h('p', {}, 'Registration with ', h('code', {}, registration.registrar), ': ', chip(kind(registration.state), registration.state),
      registration.expires_at ? [' until ', moment(registration.expires_at)] : '', registration.last_problem ? `: ${registration.last_problem}` : '') : null,
    addresses(trunk),
    trunk.phones ? phones(trunk) : null,
    h('p', {}, calls('All calls', {}), ' · ', calls('calls that failed with it', { failing: trunk.name }), ' · ', calls('calls with one-way audio', { flag: 'one_way' }), ' · ', calls('calls with packet loss', { flag: 'loss' })));
}

/** Whether calls of a trunk fail now, or would. */
function isBad(trunk, problems) {
  return trunk.state === 'down' || isFaulty(faults(trunk, problems));
}

/** The trunks in one sentence. */
function sentence(trunks, problems) {
  const number = (state) => trunks.filter((trunk) => trunk.state === state).length;
  const unused = trunks.filter((trunk) => trunk.state === 'down' && problems.some(({ trunk: name, kind: of, unmet }) => name === trunk.name && of === 'down' && unmet)).length;
  const states = ['up', 'down', 'unknown'].filter(number).map((state) => `${number(state)} ${state}${state === 'down' && unused ? ` (${count(unused)} that no route uses)` : ''}`);
  const bad = trunks.filter((trunk) => isBad(trunk, problems)).length;
  return `${many(trunks.length, 'trunk')}: ${states.join(', ')}. ${bad ? `${count(bad)} with a problem, marked at its left.` : 'None has a problem.'}`;
}

export function trunksPage(main, query) {
  const hour = lastHour(api);
  let samples = [];
  let trunks = [];
  let problems = [];
  let since = null;
  const note = h('p', { class: 'dim covered' });
  const text = h('input', { type: 'search', size: 22, value: query.get('filter') || '', placeholder: 'name, address', title: 'Part of a name, an address or a problem', autocomplete: 'off', spellcheck: 'false', 'data-field': 'trunk' });
  const state = h('select', { 'data-field': 'state' }, STATES.map((value) => h('option', { value, selected: value === (query.get('state') || ''), title: value === 'unknown' ? 'not monitored, or nothing heard of it yet' : null }, value || 'any')));
  const form = h('form', { class: 'filters', 'aria-label': 'Filters', on: { submit: (event) => event.preventDefault(), input: () => { list.keep(); show(); } } }, h('label', {}, 'Filter', text), h('label', {}, 'State', state));
  const said = h('p', { class: 'dim', role: 'status' });
  const list = listing(columns(() => samples, () => problems, () => since), {
    page: 'trunks', query, opensOne: true, first: 'State', caption: 'Trunks', name: 'trunk', key: (trunk) => trunk.name, detail: (trunk) => detail(trunk, problems), empty: ['No trunks are configured. A trunk is a carrier, a PBX or a group of phones: add a section ', h('code', {}, '[trunk.NAME]'), ' to the configuration, then reload.'],
    mark: (trunk) => markOf(downKind(trunk, problems) === 'bad', faults(trunk, problems), trunk.state === 'down'), kept: () => ({ filter: text.value.trim(), state: state.value }),
  });
  main.append(h('h1', {}, 'Trunks'), form, said, list.node, note);

  function show() {
    const wanted = text.value.trim().toLowerCase();
    const holds = (trunk) => [trunk.name, trunk.last_problem, ...trunk.peers.flatMap((peer) => [peer.uri, ...peer.addresses.map((one) => one.address)])].some((one) => (one || '').toLowerCase().includes(wanted));
    const found = trunks.filter((trunk) => (!state.value || trunk.state === state.value) && holds(trunk));
    form.hidden = trunks.length < 2;
    const line = trunks.length ? `${sentence(trunks, problems)}${found.length < trunks.length ? ` ${count(found.length)} shown.` : ''}` : '';
    if (said.textContent !== line) swap(said, line);
    swap(note, coveredNote(since));
    list.show(found, trunks.length ? 'No trunk matches the filter.' : null);
  }

  const isState = STATES.includes(query.get('state') || '');
  return {
    title: 'Trunks',
    mistakes: [...list.mistakes, ...(isState ? [] : [`\`${query.get('state')}\` is not a state; use ${STATES.filter(Boolean).map((name) => `\`${name}\``).join(', ')}`])],
    async refresh() {
      const [answer, status, past] = await Promise.all([api.get('/v1/trunks'), api.get('/v1/status'), hour()]);
      ({ trunks, since } = answer);
      problems = status.problem_details;
      samples = past;
      show();
    },
  };
}
