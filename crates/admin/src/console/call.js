// One call: result, ladder, media map, quality and routing.

import * as api from './api.js';
import { age, chip, confirmed, facts, h, moment, rich, say, section, swap, table } from './dom.js';
import { ago, dated, duration, figure, kind, lapse, local, masked, number, numbersAreMasked, talked, time, words } from './format.js';
import { BAD_FLAGS, flags, result } from './calls.js';
import { ladder } from './ladder.js';
import { mediaMap } from './media.js';
import { plot, timeAxis } from './plot.js';
import { recordingsPart } from './recordings.js';
import { condensed, webhooks } from './webhooks.js';

/** Downloads: path, title, and the part of the call that has to be kept. */
const DOWNLOADS = [['trace.txt', 'Ladder as text', 'trace'], ['trace.svg', 'Ladder as SVG', 'trace'], ['trace.pcapng', 'Messages as pcapng', 'messages'], ['trace', 'Trace as JSON', 'trace'], ['quality.csv', 'Quality as CSV', 'quality']];

/** What an outcome means, for a call without a trace. */
const OUTCOMES = { answered: 'Answered', busy: 'Busy', no_answer: 'Not answered', canceled: 'Cancelled by the caller before the answer', refused: 'Rejected by the edge', failed: 'Failed' };

/** The verdict of a call whose trace is no longer kept: what the call itself and its legs have. */
function verdict(call) {
  const name = (leg) => leg.trunk || leg.agent || 'SIP URI';
  const [first, ...others] = call.legs;
  const seconds = talked(call);
  const head = call.state !== 'ended' ? `The call is ${words(call.state)}`
    : `${OUTCOMES[call.outcome] || words(call.outcome)}${seconds === null ? (call.sip_code ? ` with ${call.sip_code}` : '') : `, ended after ${duration(seconds)}`}${call.reason ? `: ${words(call.reason)}` : ''}`;
  const rejected = others.filter((leg) => leg.sip_code).map((leg) => `${name(leg)} answered ${leg.sip_code}${leg.sip_text ? ` ${leg.sip_text}` : ''}`);
  const lost = others.filter((leg) => !leg.sip_code && leg.reason && leg.state === 'ended' && leg.reason !== call.reason).map((leg) => `${name(leg)}: ${words(leg.reason)}`);
  const left = (call.passed_over || []).map(({ target, reason }) => `${target} was passed over: ${words(reason)}`);
  const silent = call.flags.includes('one_way') ? [first, ...others].filter((leg) => leg?.rtp && leg.rtp.tx_packets > 0 && leg.rtp.rx_packets === 0).map((leg) => `no media from ${name(leg)}`) : [];
  const why = [...rejected, ...lost, ...left, ...silent].join('; ');
  const help = call.reason && !['caller_hung_up', 'callee_hung_up'].includes(call.reason) ? `\nTry: \`trunkgate help ${call.reason}\`, which explains the reason and its fix.` : '';
  return `${head}${why ? `. ${why[0].toUpperCase()}${why.slice(1)}` : ''}.${help}`;
}

/** Why a recording lacks audio, and what would help. */
const LOSSES = {
  disk_full: ['the disk was full', 'free space in the directory of recordings; `trunkgate status` names it'],
  disk_slow: ['the disk was too slow', 'look at what else writes to the disk of the recordings'],
  disk_failed: ['the disk did not take it', '`trunkgate status` names the error of the disk'],
  restart: ['the edge was restarted', null],
  process_stopped: ['the process of the edge was stopped, or its machine paused', null],
};

/** What the recordings of a call lack, a sentence for each reason. */
function unrecorded(call) {
  const lost = {};
  for (const loss of (call.recordings || []).flatMap((one) => one.lost || [])) lost[loss.reason] = (lost[loss.reason] || 0) + loss.seconds;
  return Object.entries(lost).map(([reason, seconds]) => {
    const [why, fix] = LOSSES[reason] || [words(reason), null];
    return `The recording lacks ${duration(seconds)} of audio: ${why}.${fix ? ` Try: ${fix}.` : ''}`;
  });
}

/** A party as a link to its row. */
function party(leg) {
  if (leg.agent) return h('a', { href: `#/agents${api.query({ agent: leg.agent })}` }, leg.agent);
  return leg.trunk ? h('a', { href: `#/trunks${api.query({ trunk: leg.trunk })}` }, leg.trunk) : leg.kind === 'api' ? 'API' : 'SIP URI';
}

/** All of the call in order, as `trunkgate calls` writes them: one that is there several times in a row stands once. */
function parties(call) {
  const all = call.legs.map((leg) => ({ name: leg.agent || leg.trunk || leg.kind, cell: party(leg) }));
  if (call.app) all.splice(Math.min(1, all.length), 0, { name: `app:${call.app}`, cell: `app:${call.app}` });
  if (call.conference) all.push({ name: `conference:${call.conference.name}`, cell: ['conference:', conferenceLink(call)] });
  if (call.voicemail) all.push({ name: `voicemail:${call.voicemail}`, cell: `voicemail:${call.voicemail}` });
  const runs = [];
  for (const one of all) {
    const last = runs[runs.length - 1];
    if (last && last.name === one.name) last.times += 1;
    else runs.push({ ...one, times: 1 });
  }
  return runs.map(({ cell, times }, place) => [place ? ' → ' : '', cell, times > 1 ? ` ×${times}` : '']);
}

const conferenceLink = ({ conference }) => h('a', { href: `#/conferences${api.query({ conference: conference.sid })}` }, masked(conference.name));

/** A verdict with what follows the fix of one problem on a line of its own. */
function byProblem(text) {
  return text.replace(/(Try(?: for [^:]+)?: [^\n]*?\.) (?=(?!Try\b)[A-Z0-9])/g, '$1\n');
}

function head(call, trace, act) {
  const known = [
    ['Parties', parties(call)], ['Route', call.route ? h('a', { href: `#/calls${api.query({ route: call.route })}`, title: 'Calls of this route' }, masked(call.route)) : 'none'], ...(call.conference ? [['Conference', conferenceLink(call)]] : []), ['Started', moment(call.started_at)], ...(call.answered_at ? [['Answered', moment(call.answered_at)]] : []), ...(call.ended_at ? [['Ended', moment(call.ended_at)]] : []), ...(call.answered_at ? [['Duration', duration(talked(call))]] : []),
    ['SIP code', call.sip_code || '–'], ...(call.reason ? [['Reason', words(call.reason)]] : []), ['sid', h('code', {}, call.sid)],
  ];
  return [
    h('div', { class: 'title-row' },
      h('h1', { key: 'title', tabindex: '-1' }, `${number(call.from)} → ${number(call.to)} `, result(call)),
      h('div', { class: 'buttons' },
        h('button', { type: 'button', class: 'quiet', key: 'copy', on: { click: act.copy } }, 'Copy link'),
        call.state === 'ended' ? null : h('button', { type: 'button', class: 'danger', key: 'hangup', back: 'title', sends: true, on: { click: act.hangUp } }, 'Hang up'))),
    h('p', { class: `verdict ${call.flags.some((flag) => BAD_FLAGS.includes(flag)) || ['failed', 'refused'].includes(call.outcome) ? 'bad' : unrecorded(call).length ? 'warn' : ''}` }, rich(byProblem(local(masked([trace ? trace.verdict : verdict(call), ...(trace?.verdict.includes('ecording lacks') ? [] : unrecorded(call))].join('\n')))))),
    call.flags.length ? h('p', { class: 'tags' }, flags(call)) : null,
    facts(known),
  ];
}

/** Lost packets of those that should have arrived, in percent; of what was sent, `packets` has them all. */
function lossShare({ lost, packets }, direction) {
  const all = direction === 'received' ? lost + packets : packets;
  return lost === null ? null : all > 0 ? Math.min(100, (100 * lost) / all) : 0;
}

/** Plots of one call; all share the time axis of the call. */
function quality(call, series, axis) {
  const from = Date.parse(call.started_at);
  const to = Math.max(from + 4000, call.ended_at ? Date.parse(call.ended_at) : Date.now());
  // The last interval may be too short for a meaningful value.
  const long = (samples) => (samples.length > 1 ? samples.filter(({ seconds }) => seconds >= 1) : samples);
  const all = series.series.map((one) => ({ ...one, samples: long(one.samples) })).filter(({ samples }) => samples.length > 0);
  const at = (sample, share) => Date.parse(sample.at) + sample.seconds * 1000 * share;
  const isKnown = ({ points: known }) => known.some(([, value]) => value !== null);
  const drawn = (points, more = ['', '']) => all.map((one) => ({
    name: one.direction === 'received' ? `received from ${one.party}${more[0]}` : `sent to ${one.party}${more[1]}`, dashed: one.direction !== 'received',
    points: one.samples.flatMap((sample) => points(sample, one.direction)),
  }));
  const lines = (value) => drawn((sample, direction) => [[at(sample, 0.5), value(sample, direction)]]);
  const plots = [
    plot({ title: 'Packet loss', sides: true, unit: ' %', digits: 1, most: 5, marks: true, axis, from, to, series: lines(lossShare) }),
    plot({ title: 'Jitter', sides: true, unit: ' ms', digits: 1, most: 5, axis, from, to, series: lines((sample) => sample.jitter_ms) }),
    plot({ title: 'MOS', sides: true, digits: 2, floor: 1, ceiling: 4.5, axis, from, to, series: lines((sample) => sample.mos) }),
    plot({ title: 'Packets/s', sides: true, digits: 0, axis, from, to, series: lines((sample) => (sample.seconds > 0 ? sample.packets / sample.seconds : null)) }),
  ];
  // The maximum of an interval, then the value at its end: this shows a burst and how it is played or cleared.
  const seconds = (ms) => (ms === null ? null : ms / 1000);
  const queue = drawn((sample) => [[at(sample, 0.5), seconds(sample.queue_max_ms)], [at(sample, 1), seconds(sample.queue_ms)]], [', not played yet', ', not read yet']).filter(isKnown);
  if (queue.length) plots.push(plot({ title: 'Agent: queued audio', unit: ' s', digits: 2, most: 1, axis, from, to, series: queue }));
  return h('div', { class: 'plots four' }, plots);
}

/** Whether two numbers are the same but for one digit. */
const isNearly = (one, other) => one.length === other.length && /^\+?\d{7,}$/.test(other) && [...one].filter((digit, at) => digit !== other[at]).length === 1;

/** Why a route does not match, with masked numbers; those that are the same only because of that are said to differ. `isNear`: the number is almost one of the route's. */
function unmatched(text) {
  const [, number, list] = /^(?:to|caller): (\S+) matches none of (.*)$/.exec(text) || [];
  const patterns = list ? list.split(', ') : [];
  const isSame = masked(number) !== number && patterns.some((pattern) => masked(pattern) === masked(number));
  return { text: isSame ? `${masked(text)}: the masked digits differ` : masked(text), isNear: isSame || patterns.some((pattern) => isNearly(number, pattern)) };
}

/** What the edge says of a route behind the one that matched. */
const NOT_EVALUATED = 'an earlier route matched';
/** Routes that do not match which are shown before the one that does; of more, the first and the last ones, and those whose number is near. */
const PASSED = matchMedia('(max-width: 560px)').matches ? { shown: 3, first: 1, last: 1, near: 2 } : { shown: 8, first: 2, last: 3, near: 3 };

/** The routes in order; those behind the one that matched, and many before it, are one row each. */
function inOrder(routes) {
  const all = routes.map((route, place) => ({ ...route, position: place + 1 }));
  const one = (some, name, failed) => ({ name, position: `${some[0].position}–${some[some.length - 1].position}:`, matched: false, failed, place: null });
  const rest = all.filter((route) => route.failed === NOT_EVALUATED);
  const tried = all.filter((route) => route.failed !== NOT_EVALUATED);
  const passed = tried.filter((route) => !route.matched);
  if (passed.length > PASSED.shown) {
    // A few whose number is almost this one are shown, wherever they stand.
    const between = passed.slice(PASSED.first, passed.length - PASSED.last);
    const near = between.filter((route) => unmatched(route.failed || '').isNear).slice(0, PASSED.near);
    const runs = between.reduce((all, route, at) => {
      const isNear = near.includes(route);
      if (at === 0 || isNear || all[all.length - 1].isNear) all.push(Object.assign([], { isNear }));
      all[all.length - 1].push(route);
      return all;
    }, []);
    tried.splice(PASSED.first, between.length, ...runs.map((some) => (some.length === 1 ? some[0] : one(some, `${some.length} routes`, 'do not match'))));
  }
  return [...tried, ...(rest.length < 2 ? rest : [{ ...one(rest, `${rest.length} further routes`, `not evaluated: ${NOT_EVALUATED}`), isOpen: true }])];
}

function routeTable(routes, caption) {
  const match = (route) => (route.matched ? chip('good', 'yes') : route.isOpen || route.failed === NOT_EVALUATED ? chip('plain', 'not evaluated') : chip('plain', 'no'));
  return table([
    { name: 'Route', cell: (route) => [h('span', { class: 'dim position' }, route.position), ' ', masked(route.name)] },
    { name: 'Match', cell: match, wide: true },
    { name: 'Reason', cell: (route) => (route.because ? masked(route.because) : unmatched(route.failed || '–').text), wide: true },
    { name: 'Defined at', wide: true, cell: (route) => (route.place ? h('code', {}, route.place.split('/').pop()) : '–') },
  ], { caption, compact: true, rows: routes, key: (route) => route.name, empty: 'No routes are configured.', mark: (route) => (route.matched ? 'chosen-route' : 'dead'), isWhole: true });
}

const stateChip = (target, state) => (state ? [' ', chip(kind(state), state)] : null);

/** The targets of a route in order, with what the edge knows of each now. `chipsOf`: chips of one, by its state. */
function targetList(why, chipsOf) {
  const one = (target) => {
    const text = typeof target === 'string' ? target : target.target || JSON.stringify(target);
    const attempts = (why.attempts || []).flatMap((attempt) => [attempt, ...(attempt.ring_all || [])]);
    const attempt = attempts.find((known) => known.target === text);
    return h('li', {}, h('code', {}, masked(text)), chipsOf(text, attempt?.state), attempt?.now?.length ? h('span', {}, ' now: ', rich(local(masked(attempt.now.join('; '))))) : '');
  };
  return why.targets.length ? h('ol', { class: 'targets' }, why.targets.map(one)) : null;
}

/** Explains which route a call takes, condition by condition. `chipsOf`: chips of a target, by its state. */
export function explanation(why, chipsOf = stateChip) {
  const targets = targetList(why, chipsOf);
  if (why.api) {
    return [
      h('p', {}, h('strong', {}, 'Request to the API'), `: to ${number(why.called)}${why.caller ? `, from ${number(why.caller)}` : ''}. Response: `, why.api.code ? h('span', { class: 'bad' }, `${why.api.status}, code ${why.api.code}: `, rich(masked(why.api.message))) : `${why.api.status}: would be accepted`, '.'),
      targets,
    ];
  }
  const short = inOrder(why.routes);
  const whole = () => routeTable(why.routes.map((route, place) => ({ ...route, position: place + 1 })), 'All routes');
  const box = h('details', { class: 'all-routes', on: { toggle: () => { if (box.open && box.children.length === 1) box.append(whole()); } } }, h('summary', {}, `All ${why.routes.length} routes`));
  return [
    h('p', {}, h('strong', {}, why.route ? `Route ${masked(why.route)}` : 'No route matches'), `: call from trunk ${why.from} to ${number(why.called)}${why.caller ? `, caller ${number(why.caller)}` : ''}.`,
      why.answer ? ` Response: ${masked(why.answer)}.` : ''),
    targets,
    routeTable(short, 'Routes in order'),
    short.length < why.routes.length ? box : null,
  ];
}

/** What the hops of a turn are, in the order in which they are passed. */
const HOPS = [
  ['network', 'Network to the agent', 'Round trip of a WebSocket ping'],
  ['agent', 'Agent', 'The rest: recognition, model and speech synthesis'],
  ['edge', 'Edge', 'Time that the first audio of the answer waited at the edge: for the next packet, and behind audio that the agent had sent before'],
];

/** Response times of the agents of a call, with what each hop adds; `null` where no agent has answered a caller yet. */
function turns(call) {
  const answering = call.legs.filter((leg) => leg.turn_ms);
  if (answering.length === 0) return null;
  const ms = (value, digits = 0) => lapse(value ?? null, digits);
  const caller = call.legs[0].rtp.rtt_ms;
  return answering.map((leg) => {
    const rows = HOPS.map(([key, name, meaning]) => ({ name, meaning, value: leg.turn_ms.hops[key] }))
      .concat({ name: 'Network of the caller', meaning: 'Round trip by RTCP, not part of the turn: the caller waits for so much longer', value: caller })
      .filter(({ value }) => value !== null && value !== undefined);
    return h('div', { class: 'turns' },
      facts([['Agent', leg.agent], ['Turns', leg.turn_ms.turns], ['p50', ms(leg.turn_ms.p50)], ['p95', ms(leg.turn_ms.p95)]]),
      rows.length === 0 ? null : table([
        { name: 'Hop', cell: (hop) => hop.name },
        { name: 'Median', cell: (hop) => ms(hop.value, 1), class: 'number nowrap' },
        { name: 'Meaning', cell: (hop) => hop.meaning, wide: true, class: 'prose' },
      ], { caption: `Hops of a turn with ${leg.agent}`, rows, key: (hop) => hop.name }));
  });
}

function legs(call) {
  const left = (call.passed_over || []).map(({ target, reason }) => [h('strong', {}, target), ` (${words(reason)}) `]);
  return [left.length ? h('p', {}, 'Passed over, without a leg: ', left) : null, table([
    { name: 'Leg', cell: party, class: 'nowrap' },
    { name: 'Direction', cell: (leg) => leg.direction },
    { name: 'State', cell: (leg) => chip(kind(leg.state), leg.state) },
    { name: 'Rejected with', wide: true, cell: (leg) => (leg.sip_code ? masked(`${leg.sip_code} ${leg.sip_text || ''}`) : '–') },
    { name: 'Reason', wide: true, cell: (leg) => (leg.reason ? [h('code', {}, leg.reason), leg.ended_by ? ` by ${words(leg.ended_by)}` : ''] : '–') },
    { name: 'Signalling', wide: true, cell: (leg) => [h('span', { class: 'nowrap' }, leg.transport), ' ', h('span', { class: 'nowrap' }, leg.remote || '')] },
    { name: 'MOS', cell: (leg) => figure(leg.rtp.mos, 2), class: 'number' },
    { name: 'Call-ID and sid', wide: true, cell: (leg) => h('div', { class: 'ids' }, leg.sip_call_id ? h('code', {}, leg.sip_call_id) : null, h('code', { class: 'dim' }, leg.sid)) },
  ], { caption: 'Legs', compact: true, rows: call.legs, key: (leg) => leg.sid })];
}

/** How many attempts of callbacks a trace has. */
function attempts(trace) {
  return trace.entries.reduce((sum, entry) => sum + (entry.attempts ? entry.attempts.length : 0), 0);
}

/** The ladder in a node: drawn at the width there is; an unchanged one is left alone: the user may be reading it. */
function ladderPart(node) {
  const state = { chosen: null, began: null, close };
  let trace = null;
  let drawn = '';
  let played = null;
  /** Draws the ladder again at another width; its row `place` stays where it is and has the focus. */
  function redraw(place) {
    const row = () => node.querySelector(`g[data-row="${place}"]`);
    const before = row()?.getBoundingClientRect().top;
    drawn = '';
    draw();
    const now = row();
    if (!now) return;
    scrollBy(0, now.getBoundingClientRect().top - before);
    now.focus({ preventScroll: true });
  }
  function close() {
    const place = state.chosen;
    if (place === null) return false;
    state.chosen = null;
    redraw(place);
    return true;
  }
  function draw() {
    const width = node.clientWidth;
    const print = trace ? `${trace.entries.length} ${attempts(trace)} ${trace.dropped} ${trace.legs.length} ${trace.entries.filter((entry) => entry.raw).length} ${width} ${numbersAreMasked()}` : 'none';
    if (print === drawn || (trace && width === 0)) return;
    drawn = print;
    swap(node, trace ? ladder(trace, state, width, redraw) : h('p', { class: 'empty' }, 'No ladder: the traces of the newest calls are kept, those of calls with a fault longer. This call has its legs, their codes and reasons below.'));
    mark(played);
  }
  new ResizeObserver(() => { if (drawn) draw(); }).observe(node);
  /** Marks the last row before a time that is played, in microseconds; `null`: none is. */
  function mark(us) {
    let last = null;
    played = us;
    for (const row of node.querySelectorAll('g.row')) {
      row.classList.remove('played');
      if (us !== null && Number(row.dataset.at) <= us) last = row;
    }
    if (last) last.classList.add('played');
  }
  return {
    close,
    mark,
    show(next, call) {
      trace = next;
      state.began = call.started_at;
      draw();
    },
  };
}

/** The webhooks of a call in a node of a section that is hidden while there are none; unchanged ones are left alone. */
function webhooksPart(part, node) {
  let drawn = '';
  return (trace) => {
    const all = webhooks(trace);
    const print = trace ? `${trace.entries.length + trace.dropped} ${attempts(trace)} ${numbersAreMasked()}` : '';
    if (print === drawn) return;
    drawn = print;
    part.hidden = !all;
    swap(node, all);
  };
}

/** The routing of a call by the current routes in a node; the edge is asked once. */
function routingPart(node) {
  let route = null;
  return async (call) => {
    const from = call.requested ? 'api' : call.legs[0] && call.legs[0].trunk;
    if (!from) {
      swap(node, h('p', { class: 'empty' }, 'Not evaluated: the call did not come from a trunk.'));
      return;
    }
    try {
      route ||= await api.get(`/v1/why${api.query({ from, called: call.to, caller: call.from })}`);
      swap(node, h('p', { class: 'dim' }, `Evaluated with the current routes. At the time of the call: ${call.route ? `route ${masked(call.route)}` : 'no match'}.`), explanation(route));
    } catch (error) {
      swap(node, h('p', { class: 'empty' }, rich(masked(error.message))));
    }
  };
}

/** Buttons for the downloads that the edge has of a call. */
function downloads(path, sid, kept) {
  return h('div', { class: 'buttons left' }, DOWNLOADS.filter(([, , part]) => kept[part]).map(([name, title]) => h('button', {
    type: 'button', class: 'quiet', key: name,
    on: { click: () => api.download(`${path}/${name}`, `${sid}.${name === 'trace' ? 'json' : name.replace('trace.', '')}`).catch((error) => say(error.message, true)) },
  }, title)));
}

/** Says why a call is unknown: the edge has started since the page was loaded, or the call is too old. */
async function lost(sid) {
  const { started_at: started } = await api.get('/v1/status');
  const { records } = await api.get('/v1/calls?state=trying').catch(() => ({}));
  const where = records ? [' Its record: ', h('code', {}, `grep ${sid} ${records}`), '.'] : '';
  return [`: the edge keeps the newest 10\u202f000 calls since its start at ${dated(started)} (${ago(started)}). This one is from before that, or of another edge.`, where];
}

export function callPage(main, sid, again) {
  const path = `/v1/calls/${encodeURIComponent(sid)}`;
  const parts = Object.fromEntries(['head', 'ladder', 'recordings', 'media', 'turns', 'quality', 'why', 'legs', 'webhooks', 'downloads'].map((name) => [name, h('div', {})]));
  const response = section('Response time', parts.turns);
  response.hidden = true;
  const requests = section('Webhooks', parts.webhooks);
  requests.hidden = true;
  response.title = 'From the end of the caller\'s speech to the first audio of the agent';
  const recorded = section('Recordings', parts.recordings);
  recorded.hidden = true;
  const saved = section('Downloads', parts.downloads);
  const measured = section('Quality', parts.quality);
  const about = h('div', {}, section('Ladder', parts.ladder), recorded, requests, section('Media map', parts.media), response, measured, section('Routing', parts.why),
    section('Legs', parts.legs), saved);
  // Back to the list as it was left.
  const list = /^#\/calls(\?|$)/.test(history.state?.from || '') ? history.state.from : null;
  const back = (event) => { if (list && !event.ctrlKey && !event.metaKey) { event.preventDefault(); history.back(); } };
  main.append(h('p', { class: 'crumbs' }, h('a', { href: list || '#/calls', on: { click: back } }, '← Calls')), parts.head, about);
  const act = {
    copy: () => navigator.clipboard?.writeText(location.href).then(() => say('Link copied.'), () => say('The browser does not allow copying.', true)) ?? say(location.href),
    hangUp: async () => {
      if (!await confirmed('Hang up?', 'The edge ends this call: it sends BYE on every leg.', 'Hang up')) return;
      try {
        await api.remove(path);
        say('Hang-up requested.');
        again();
      } catch (error) {
        say(error.message, true);
      }
    },
  };
  const axis = timeAxis();
  const ladderOf = ladderPart(parts.ladder);
  const showRecordings = recordingsPart(recorded, parts.recordings, ladderOf.mark);
  const showRequests = webhooksPart(requests, parts.webhooks);
  const showRouting = routingPart(parts.why);
  let done = false;
  /** Number of the parts that downloads are offered of. */
  let offered = null;
  let wasMasked = numbersAreMasked();
  const page = {
    title: 'Call',
    /** Closes the selected message; whether there was one. */
    escape: ladderOf.close,
    async refresh() {
      const isTurned = wasMasked !== numbersAreMasked();
      if (done && !isTurned) {
        age(parts.head);
        return;
      }
      const call = await api.get(path).catch((error) => {
        if (error.status !== 404) throw error;
      });
      if (!call) {
        const why = await lost(sid);
        swap(parts.head, h('h1', {}, 'Call not kept'), h('p', { class: 'verdict bad' }, 'Unknown call: ', h('code', {}, sid), why), h('p', {}, h('a', { href: '#/calls' }, 'Calls that are kept'), ' · ', h('a', { href: '#/overview' }, 'Overview')));
      }
      about.hidden = !call;
      if (!call) return;
      const kept = await api.get(`${path}/kept`);
      // A call without a packet has no measurements.
      const isHeard = call.answered_at && call.legs.some((leg) => leg.rtp && leg.rtp.rx_packets + leg.rtp.tx_packets > 0);
      const [whole, series] = await Promise.all([
        kept.trace ? api.get(`${path}/trace?raw=true`).catch(() => null) : null,
        isHeard && kept.quality ? api.get(`${path}/quality`).catch((error) => ({ series: [], why: error.message }))
          : { series: [], why: isHeard ? 'Only the totals are kept: see the media map.' : 'No packet was received or sent.' },
      ]);
      const trace = whole && condensed(whole);
      swap(parts.head, head(call, trace, act));
      page.title = `${number(call.from)} → ${number(call.to)}`;
      ladderOf.show(trace, call);
      showRecordings(call, trace);
      swap(parts.media, mediaMap(call));
      showRequests(trace);
      const answered = turns(call);
      response.hidden = !answered;
      swap(parts.turns, answered);
      // Without media the two parts would say the same.
      measured.hidden = !isHeard && call.state === 'ended';
      if (!axis.isDragged) swap(parts.quality, series.series.length ? quality(call, series, axis) : h('p', { class: 'empty' }, series.why || 'No measurements yet.'));
      swap(parts.legs, legs(call));
      const files = Object.values(kept).filter(Boolean).length;
      saved.hidden = files === 0;
      if (files !== offered) swap(parts.downloads, downloads(path, sid, kept));
      if (offered === null || isTurned) showRouting(call);
      offered = files;
      wasMasked = numbersAreMasked();
      if (call.state === 'ended') {
        // Late entries arrive within a minute after the end.
        done = Date.now() - new Date(call.ended_at) > 60_000;
      }
    },
  };
  return page;
}
