// Overview: health in one sentence with the worst problem first, trunks, problems of the last hour, plots and live events.

import * as api from './api.js';
import { chip, h, rich, section, swap, table } from './dom.js';
import { ago, count, duration, figure, kind, many, masked, number, time, words } from './format.js';
import { plot, resetZoom, timeAxis } from './plot.js';
import { HARMS, headline, inParts, parts, problem } from './problems.js';
import { covered, downKind, faults, isFaulty, outKind, roundTrip } from './trunks.js';

const KEPT_EVENTS = 12;
/** How often the page asks since when ended calls are kept. */
const SINCE_MS = 60_000;
/** Whether the page is a phone's, where tables are lists of cards. */
const IS_NARROW = matchMedia('(max-width: 560px)').matches;
/** Further problems below the first, and rows of the history, shown at once; the rest is one click away. */
const PROBLEMS = IS_NARROW ? 2 : 8;
/** Further problems whose evidence and fix are shown at once; of more, and on a phone, each opens. */
const UNFOLDED = IS_NARROW ? 0 : 3;
const HISTORY = IS_NARROW ? 5 : 12;
/** With more trunks than this, the strip shows those with a problem and the busiest. */
const STRIP_TRUNKS = IS_NARROW ? 6 : 12;
/** Problems that a tile names. */
const TILE_CHIPS = 2;
const KINDS = { failed: 'call failed', ended: 'ended abnormally', failed_over: 'failed over', one_way: 'one-way audio', unsent: 'packets not sent', codec_mismatch: 'codec mismatch', loss: 'packet loss' };
/** The kinds that are also a flag of calls. */
const FLAGS = ['failed_over', 'one_way', 'unsent', 'codec_mismatch', 'loss'];

/** Parties without audio in live calls that have a line each; the others share one. */
const LIVE_SHOWN = 3;
/** Parties that a shared line names. */
const NAMED = 5;
/** Returns names, as many as a line has. */
const named = (all) => `${all.slice(0, NAMED).join(', ')}${all.length > NAMED ? ` and ${count(all.length - NAMED)} more` : ''}`;

/** Replaces the first of some problems by one line for all of them. */
function inOne(all, some, line) {
  return all.flatMap((one) => (one === some[0] ? [line] : some.includes(one) ? [] : [one]));
}

/** Returns the problems with one line for live calls without audio beyond those of the first three parties, and one for trunks that are down and that no route uses. */
function gathered(all) {
  const name = ({ trunk, agent, name: other }) => trunk || agent || other;
  const live = all.filter(({ harm, live_calls: calls }) => harm !== 'past' && calls).slice(LIVE_SHOWN);
  const unused = all.filter(({ kind: of, unmet, trunk }) => of === 'down' && unmet && trunk);
  let lines = all;
  if (live.length > 1) {
    const calls = live.reduce((sum, one) => sum + one.live_calls, 0);
    const fix = live.every((one) => one.fix === live[0].fix) ? live[0].fix : 'look at these calls: each names its own cause and fix';
    lines = inOne(lines, live, { ...live[0], headline: `no audio in ${count(calls)} more live calls`, evidence: `of ${named(live.map(name))}`, fix, command: null, link: `#/calls${api.query({ flag: 'one_way', state: 'live' })}`, name: 'Show the calls' });
  }
  if (unused.length > 1) {
    const fix = 'bring them up, or take the trunks out of the configuration: no call goes to them';
    lines = inOne(lines, unused, { ...unused[0], headline: `${count(unused.length)} trunks that no route uses are down`, evidence: named(unused.map(name)), fix, command: null, link: `#/trunks${api.query({ state: 'down' })}`, name: 'Show the trunks' });
  }
  return lines;
}

/** What unknown sources do is no problem of the edge. */
const isNote = (problem) => problem.harm === 'strangers';

/** The headline: the worst problem of `/v1/status`, or that there is none; with the other problems and notes. */
function sentence(status) {
  const problems = gathered(status.problem_details.filter((one) => !isNote(one))).map(problem);
  const notes = status.problem_details.filter(isNote).map(problem);
  if (problems.length === 0 && status.trunks.length === 0) {
    return {
      kind: 'warn', text: 'No trunks are configured: SIP from every source is dropped without a reply.', rest: notes,
      evidence: 'A trunk is a carrier, a PBX or a group of phones; a route says where its calls go. Only requests to the API make calls without them.',
      fix: 'add `[trunk.NAME]` and `[[route]]` to the configuration file (`trunkgate preset` prints trunks of known carriers and PBXs, `trunkgate init` a whole file), then reload on the page System',
    };
  }
  if (problems.length === 0) {
    const up = status.trunks.filter((trunk) => trunk.state === 'up').length;
    const rest = status.trunks.length - up;
    const trunks = `${many(up, 'trunk')} up${rest ? `, ${rest} unknown` : ''}`;
    const calls = many(status.calls, 'call');
    // What was wrong before its start the edge does not know.
    const start = status.uptime_seconds < 3600 && status.started_at ? ` since ${time(status.started_at)}, when the edge started` : '';
    return { kind: 'good', text: `No problems${start}: ${calls}, ${trunks}.`, rest: notes };
  }
  return { ...problems[0], rest: [...problems.slice(1), ...notes] };
}

/** Trunks that the strip shows: all if they are few, else those that are down or have failing calls, then the busiest. */
function important(trunks, problems) {
  if (trunks.length <= STRIP_TRUNKS) return trunks;
  const worth = (trunk) => (downKind(trunk, problems) === 'bad' ? 1e9 : trunk.state === 'down' || isFaulty(faults(trunk, problems)) ? 1e8 : 0) + trunk.calls;
  return [...trunks].sort((a, b) => worth(b) - worth(a)).slice(0, STRIP_TRUNKS - 1);
}

/** A tile: name and state, below them the problems as chips, and figures; the list above has the sentences of the problems. */
function tile(link, colour, name, state, wrong, what) {
  const chips = wrong.slice(0, TILE_CHIPS).map(({ kind: of, text, title }) => [chip(of, text, masked(title)), ' ']);
  return h('li', { class: colour }, h('a', { href: link, key: `tile ${name}` }, h('span', { class: 'head' }, h('strong', {}, name), ' ', state), ' ', h('span', { class: 'what' }, chips, h('span', { class: 'dim' }, what))));
}

/** The sum of a value of all samples. */
const total = (samples, value) => samples.reduce((sum, sample) => sum + (sample[value] || 0), 0);

/** The figures of the edge in one row: what goes on now, then the hour. `samples`: those of the hour. */
function figures(status, samples, seconds) {
  const last = samples[samples.length - 1];
  const highest = samples.length ? `highest ${count(Math.max(status.calls, ...samples.map(({ calls }) => calls)))}` : '';
  const begun = total(samples, 'begun');
  const failed = total(samples, 'failed');
  const measured = samples.filter(({ mos }) => mos !== null);
  const ended = measured.reduce((sum, { ended: calls }) => sum + calls, 0);
  const mos = ended ? measured.reduce((sum, one) => sum + one.mos * one.ended, 0) / ended : null;
  const lowest = measured.length ? Math.min(...measured.map(({ mos_lowest: least }) => least)) : null;
  // One that is not known is neither up nor down.
  const parties = (all, colour) => {
    const number = (state) => all.filter((one) => one.state === state).length;
    const unknown = number('unknown');
    return [unknown === all.length ? '–' : count(number('up')), `of ${count(all.length)}${unknown ? `, ${count(unknown)} unknown` : ''}`, all.map(colour).filter(Boolean).sort()[0]];
  };
  const [trunks, ofTrunks, trunkColour] = parties(status.trunks, (trunk) => downKind(trunk, status.problem_details));
  const [agents, ofAgents, agentColour] = parties(status.agents, (agent) => outKind(agent, status.problem_details));
  const one = (name, value, more, link, colour) => h('li', {}, h('a', { href: link, key: `figure ${name}` }, h('span', { class: 'name' }, name), h('strong', { class: colour }, value), h('span', { class: 'more-of' }, more)));
  return h('ul', { class: 'figures' },
    one('Live calls', count(status.calls), highest, '#/calls?state=live'),
    one('Calls/s', figure(last ? last.begun / seconds : null, 1), begun ? `${count(begun)} in 1 h` : 'none in 1 h', '#/calls?within=3600'),
    one('Answered', begun ? `${figure(Math.min(100, (100 * total(samples, 'answered')) / begun), 0)} %` : '–', 'in 1 h', '#/calls?state=ended&outcome=answered&within=3600'),
    one('Failed', count(failed), 'in 1 h', '#/calls?state=ended&outcome=lost&within=3600'),
    one('MOS', figure(mos, 2), lowest === null ? 'in 1 h' : `lowest ${figure(lowest, 2)}`, '#/calls?by=MOS&within=3600', mos === null ? null : mos < 3.1 ? 'bad' : mos < 3.6 ? 'warn' : null),
    status.trunks.length ? one('Trunks up', trunks, ofTrunks, '#/trunks', trunkColour) : null,
    status.agents.length ? one('Agents up', agents, ofAgents, '#/agents', agentColour) : null,
    one('Media ports', count(status.media.ports_in_use), `of ${count(status.media.ports)}`, '#/system', status.media.ports_in_use > 0.9 * status.media.ports ? 'warn' : null));
}

/** Tiles of agents, those with a problem first, and of applications that have one. */
function others(status) {
  const wrong = (agent) => faults(agent, status.problem_details, 'agents').filter((fault) => fault.isNow);
  const out = (agent) => outKind(agent, status.problem_details);
  const isBad = (agent) => out(agent) !== null || wrong(agent).length > 0;
  const agents = [...status.agents].sort((a, b) => isBad(b) - isBad(a) || b.sessions - a.sessions).slice(0, STRIP_TRUNKS);
  // An application may have several problems: its tile has the colour of the worst.
  const apps = new Map();
  for (const { app, receiver_app: receiver, harm, headline } of status.problem_details) {
    const name = app || receiver;
    if (name && harm !== 'past') apps.set(name, [...(apps.get(name) || []), { harm, headline }]);
  }
  return [
    agents.map((agent) => tile(`#/agents${api.query({ agent: agent.name })}`, out(agent) || wrong(agent)[0]?.kind || kind(agent.state), agent.name, chip(out(agent) || kind(agent.state), agent.state), wrong(agent), `agent, ${many(agent.sessions, 'session')}`)),
    [...apps].map(([name, all]) => tile(all.some(({ harm }) => harm !== 'records') ? `#/calls${api.query({ app: name, flag: 'app_error' })}` : '#/api', HARMS[all[0].harm], name,
      chip(HARMS[all[0].harm] || 'bad', 'fails', masked(all.map(({ headline }) => headline).join('; '))), [], 'application')),
  ];
}

function strip(status) {
  const { trunks } = status;
  const shown = important(trunks, status.problem_details);
  const rest = trunks.filter((trunk) => !shown.includes(trunk));
  const down = rest.filter((trunk) => trunk.state === 'down').length;
  return h('ul', { class: 'strip' }, shown.map((trunk) => {
    const rtt = roundTrip(trunk);
    const wrong = faults(trunk, status.problem_details).filter((fault) => fault.isNow);
    const state = downKind(trunk, status.problem_details) || kind(trunk.state);
    const colour = wrong.length && state !== 'bad' ? wrong[0].kind : state;
    return tile(`#/trunks${api.query({ trunk: trunk.name })}`, colour, trunk.name, chip(state, trunk.state, trunk.state === 'down' ? masked(trunk.last_problem) : null), wrong,
      `${trunk.max_calls ? `${count(trunk.calls)} / ${many(trunk.max_calls, 'call')}` : many(trunk.calls, 'call')}${rtt === null ? '' : `, ${figure(rtt, 1, ' ms')}`}`);
  }), rest.length ? h('li', { class: down ? 'bad' : null }, h('a', { href: '#/trunks', key: 'all trunks' }, `${count(rest.length)} more${down ? `, ${down} down` : ''}: all trunks`)) : null, others(status));
}

/** Returns the description of a row of the history; what is a problem now is described above, with its fix. */
function meaning(one, isAbove) {
  if (isAbove) return rich(masked(one.sentence));
  const isOfReason = one.kind === 'failed' || one.kind === 'ended';
  const text = (isOfReason && one.text ? `${one.sentence}: ${one.text}` : one.kind !== 'one_way' && one.text) || one.sentence;
  return rich(masked(`${text}${one.fix ? `. Try: ${one.fix}.` : ''}`));
}

/** Which kinds of problems of `status` are those of a row of the history. */
const SAME = { one_way: ['one_way', 'stopped'], unsent: ['unsent'], codec_mismatch: ['codec_mismatch'], loss: ['loss', 'poor_audio'] };
/** Parties with the same row of the history, from which on they share one. */
const SHARED = 3;
/** Shared rows that are open. */
const openRows = new Set();

/** Whether `/v1/status` has a row of the history as a problem now. A rejection is one with the codes for which the trunk is one: a wrong number of a caller is not. */
function isNow(one, now, trunks) {
  const same = SAME[one.kind];
  // A route without a target left is a problem of several parties.
  return now.flatMap((problem) => [problem, ...(problem.others || [])]).some(({ trunk, agent, app, kind: of }) => {
    const own = trunk || agent || (app && `app:${app}`);
    if (!own || ![one.target, ...(one.target && !same ? [] : [one.trunk])].includes(own)) return false;
    if (same) return same.includes(of);
    if (Object.values(SAME).flat().includes(of)) return false;
    const rejected = trunks.find(({ name }) => name === one.target)?.rejected;
    return !one.code || of !== 'rejects' || !rejected || rejected.answers.some(({ code, present }) => present && code === one.code);
  });
}

/** Rows of the history: what many parties have in common, and is no problem of one of them now, is one row. */
function joined(all, isCurrent) {
  const groups = new Map();
  for (const one of all) {
    const name = isCurrent(one) ? `${one.kind} ${one.reason} ${one.target || one.trunk || ''} ${one.code || ''}` : `${one.kind} ${one.reason} ${one.code || ''}`;
    groups.set(name, [...(groups.get(name) || []), one]);
  }
  return [...groups.values()].flatMap((group) => {
    if (group.length < SHARED) return group;
    const last = group.reduce((a, b) => (a.last_at > b.last_at ? a : b));
    return [{ ...last, count: group.reduce((sum, { count: calls }) => sum + calls, 0), text: null, target: null, trunk: null, group: [...group].sort((a, b) => b.count - a.count) }];
  });
}

/** The parties of a shared row, most calls first, each with its calls. */
function sharers(one, filter) {
  const name = `${one.kind} ${one.reason} ${one.code}`;
  return h('details', { open: openRows.has(name), on: { toggle: (event) => { openRows[event.target.open ? 'add' : 'delete'](name); } } },
    h('summary', { key: `parties ${name}` }, `${count(one.group.length)} parties`),
    one.group.map((each) => [h('span', { class: 'nowrap' }, h('a', { href: `#/calls${api.query(filter(each))}` }, masked(each.target || each.trunk || 'the edge')), ` ×${count(each.count)}`), ' ']));
}

/** The history of the hour: what is a problem now, by `/v1/status`, is first and has its colour; `since`: the ended calls that are kept. */
function troubles(all, status, since) {
  const now = status.problem_details.filter((one) => one.harm !== 'past');
  const isCurrent = (one) => isNow(one, now, status.trunks);
  const colour = (one) => (!one.group && isCurrent(one) ? (one.kind === 'failed_over' ? 'warn' : 'bad') : 'plain');
  const rank = (one) => ['bad', 'warn', 'plain'].indexOf(colour(one));
  const isTrunk = (name) => [...status.trunks, ...status.agents].some((party) => party.name === name);
  const app = ({ target }) => /^app:(.*)$/.exec(target || '')?.[1];
  // What failed over is that of the target that failed; other flags and reasons are those of the call.
  const filter = (one) => ({
    ...(one.kind === 'failed_over' && isTrunk(one.target) ? { failed: one.target, failed_reason: one.reason }
      : { ...(FLAGS.includes(one.kind) ? { flag: one.kind } : { reason: one.reason }), trunk: app(one) ? '' : [one.target, one.trunk].find(isTrunk), direction: one.code && isTrunk(one.target) ? 'received' : '' }),
    app: app(one), code: one.code, within: 3600,
  });
  // Of an agent that is silent in call after call the first ones are known as such later, and only to the agent.
  const silent = (one) => (one.kind === 'one_way' && status.agents.find(({ name }) => name === one.target)?.silent?.calls) || 0;
  const rows = joined(all.map((one) => ({ ...one, count: Math.max(one.count, silent(one)) })), isCurrent);
  const note = covered(since) === '1 h' ? null : h('p', { class: 'dim covered' }, `Counts are those of the whole hour. The edge keeps the newest 10\u202f000 ended calls: "show" lists those of the last ${covered(since)}.`);
  return [table([
    { name: 'Problem', cell: (one) => [chip(colour(one), KINDS[one.kind] || one.kind), ' ', one.reason ? h('code', { class: 'slug' }, one.reason) : null, one.code ? ` ${one.code}` : null] },
    { name: 'Description', cell: (one) => meaning(one.group ? { ...one, fix: one.group.every(({ fix }) => fix === one.fix) ? one.fix : null } : one, !one.group && isCurrent(one)), class: 'prose', wide: true },
    { name: 'Party', title: 'Who failed, and the trunk of the last caller', cell: (one) => (one.group ? sharers(one, filter) : one.target ? [h('strong', {}, masked(one.target)), one.trunk && one.trunk !== one.target ? h('span', { class: 'dim' }, `, last called by ${one.trunk}`) : null] : one.trunk ? h('strong', {}, one.trunk) : '–'), wide: true },
    { name: 'Count', cell: (one) => count(one.count), class: 'number' },
    { name: 'Latest', cell: (one) => h('a', { href: `#/calls/${one.last_sid}`, title: time(one.last_at) }, ago(one.last_at)), class: 'nowrap', wide: true },
    { name: 'Calls', cell: (one) => h('a', { href: `#/calls${api.query(filter(one))}` }, 'show') },
  ], {
    caption: 'Problems in the last hour', short: HISTORY, compact: true, rows: rows.sort((a, b) => rank(a) - rank(b)), key: (one) => `${one.kind} ${one.reason} ${one.target || one.trunk || ''} ${one.code || ''}`, empty: 'No call with a problem in the last hour.',
    open: (one) => { location.hash = `#/calls/${one.last_sid}`; },
  }), note];
}

/** Returns one series for all calls, one for each of the busiest trunks, and one for the others together. */
function byTrunk(samples) {
  const sums = {};
  for (const { trunks } of samples) for (const [name, calls] of Object.entries(trunks)) sums[name] = (sums[name] || 0) + calls;
  const all = Object.keys(sums).sort((a, b) => sums[b] - sums[a]);
  const [names, rest] = all.length > 5 ? [all.slice(0, 4), all.slice(4)] : [all, []];
  const points = (value) => samples.map((sample) => [Date.parse(sample.at), value(sample)]);
  const series = [{ name: 'all', points: points(({ calls }) => calls) }, ...names.map((name) => ({ name, points: points(({ trunks }) => trunks[name] || 0) }))];
  if (rest.length) series.push({ name: many(rest.length, 'other'), points: points(({ trunks }) => rest.reduce((sum, name) => sum + (trunks[name] || 0), 0)) });
  return series;
}

/** Samples of five minutes in a point of a day's plot. */
const IN_POINT = 3;

/** The samples of a day as a plot of a few hundred pixels can show them: the moment with the most calls of each quarter of an hour, and the sums of what happened in it. */
function condensed(samples) {
  const sums = ['begun', 'answered', 'ended', 'failed', 'failed_over', 'one_way', 'loss'];
  const quarter = (sample) => Math.floor(Date.parse(sample.at) / (IN_POINT * 300_000));
  const groups = new Map();
  for (const sample of samples) groups.set(quarter(sample), [...(groups.get(quarter(sample)) || []), sample]);
  return [...groups.values()].map((group) => {
    const most = group.reduce((a, b) => (b.calls > a.calls ? b : a));
    const measured = group.filter(({ mos }) => mos !== null);
    const ended = total(measured, 'ended');
    return {
      ...most, ...Object.fromEntries(sums.map((name) => [name, total(group, name)])), ports_in_use: Math.max(...group.map(({ ports_in_use: ports }) => ports)),
      mos: ended ? measured.reduce((sum, one) => sum + one.mos * one.ended, 0) / ended : null, mos_lowest: measured.length ? Math.min(...measured.map(({ mos_lowest: least }) => least)) : null,
      seconds: group.length * 300,
    };
  });
}

function plots(past, span, status, axis) {
  const isDay = span > 3_600_000;
  const samples = isDay ? condensed(past.samples) : past.samples;
  const points = (value) => samples.map((sample) => [Date.parse(sample.at), value(sample)]);
  const to = Date.now();
  // What a young edge has is not stretched: an hour has a minute, a day an hour or more.
  const least = span / (isDay ? 24 : 60);
  const from = Math.max(to - span, samples.length ? Date.parse(samples[0].at) : to - least);
  const ends = { axis, from: Math.min(from, to - least), to };
  const rate = (value) => (sample) => value(sample) / (sample.seconds ?? past.seconds);
  return h('div', { class: 'plots' }, [
    plot({ title: 'Calls', series: byTrunk(samples), most: 1, ...ends }),
    plot({ title: 'Calls/s', most: 1, series: [{ name: 'new', points: points(rate(({ begun }) => begun)) }], digits: 1, ...ends }),
    plot({ title: 'Answer rate (ASR)', unit: ' %', ceiling: 100, ...ends, series: [{ name: 'answered', points: points(({ begun, answered }) => (begun ? Math.min(100, (100 * answered) / begun) : null)) }], note: 'No calls yet.' }),
    plot({
      title: 'MOS of ended calls', digits: 2, floor: 1, ceiling: 4.5, ...ends, note: 'No measurements yet.',
      series: [{ name: 'mean', points: points(({ mos }) => mos) }, { name: 'lowest', points: points(({ mos_lowest: lowest }) => lowest) }],
    }),
    plot({
      title: isDay ? 'Problems in 15 min' : 'Problems', marks: !isDay, most: 1, ...ends,
      series: [{ name: 'one-way audio', colour: 'bad', points: points(({ one_way: silent }) => silent) }, { name: 'packet loss', colour: 'bad', dashed: true, points: points(({ loss }) => loss) }, { name: 'failed', points: points(({ failed }) => failed), colour: 'other' }, { name: 'failed over', colour: 'warn', points: points(({ failed_over: on }) => on) }],
    }),
    plot({ title: `Media ports in use, of ${count(status.media.ports)}`, series: [{ name: 'ports', points: points(({ ports_in_use: ports }) => ports) }], most: 4, ...ends }),
  ]);
}

function line([name, data]) {
  const party = data.sid ? h('a', { href: `#/calls/${data.sid}` }, `${number(data.from)} → ${number(data.to)}`) : data.trunk || data.agent || '';
  const bad = ['media.one_way', 'media.unsent', 'media.codec_mismatch', 'media.loss', 'trunk.down', 'agent.failed', 'config.refused'].includes(name);
  return h('li', {}, h('time', { datetime: data.at, title: data.at }, `${time(data.at)} (${ago(data.at)})`), chip(bad ? 'bad' : name === 'call.failed_over' ? 'warn' : 'plain', name), party,
    h('span', { class: 'dim' }, [data.sid ? data.trunk : null, data.reason && words(data.reason), data.text].filter(Boolean).join(' · ')));
}

/** Problems below the first that are open, by their headline without its numbers, which change. */
const openProblems = new Set();

/** The problems below the first; `isFolded`: each is its headline, which opens. */
function problems(all, isFolded) {
  const folded = (one) => {
    const name = one.text.replace(/\d+/g, '');
    return h('details', { open: openProblems.has(name), on: { toggle: (event) => { openProblems[event.target.open ? 'add' : 'delete'](name); } } },
      h('summary', { key: `problem ${name}` }, headline(one)), parts(one));
  };
  return h('ul', { class: 'problems' }, all.map((one) => h('li', { class: one.kind }, isFolded && (one.evidence || one.fix || one.link) ? folded(one) : inParts(one))));
}

export function overviewPage(main, query, kept, again) {
  let { span, samples, events, isOpen } = kept || { span: 'hour', samples: { hour: [], day: [] }, events: [], isOpen: false };
  const head = h('div', { class: 'health', role: 'status', 'aria-live': 'polite' });
  const rest = h('div', {});
  const row = h('nav', { class: 'figures-row', 'aria-label': 'Figures' });
  const parts = { strip: h('div', {}), troubles: h('div', {}), plots: h('div', {}), events: h('ul', { class: 'events' }) };
  const axis = timeAxis();
  const choose = (wanted) => { span = wanted; resetZoom(axis); again(); };
  const spans = h('div', { class: 'spans', role: 'group', 'aria-label': 'Time range' });
  main.append(h('h1', { class: 'unseen' }, 'Overview'), head, row, rest, h('section', { 'aria-label': 'Trunks and agents' }, parts.strip),
    section('Problems in the last hour', parts.troubles),
    h('section', { 'aria-label': 'Trends' }, h('h2', {}, 'Trends ', spans), parts.plots,
      h('p', { class: 'dim' }, 'Drag along a plot, or use its keys + and −, to zoom; a double click or 0 resets.')),
    section('Live events', parts.events));
  let said = '';
  /** Since when ended calls are kept, and when that is asked for again. */
  let since = null;
  let nextSince = 0;
  /** The history of a span; each call asks for its new samples only. */
  async function grown(of) {
    const known = samples[of];
    const past = await api.get(`/v1/history${api.query({ span: of, since: known.length ? known[known.length - 1].at : '' })}`);
    samples[of] = [...known, ...past.samples].slice(of === 'day' ? -288 : -360);
    return { ...past, samples: samples[of] };
  }

  const page = {
    title: 'Overview',
    keep: () => ({ span, samples, events, isOpen }),
    async refresh() {
      const [status, past, lately] = await Promise.all([api.get('/v1/status'), grown(span), span === 'hour' ? null : grown('hour')]);
      if (Date.now() >= nextSince && past.troubles.length) {
        nextSince = Date.now() + SINCE_MS;
        ({ since } = await api.get('/v1/trunks'));
      }
      const worst = sentence(status);
      // A screen reader speaks at every change of a live region: it is changed only with the text.
      // The age of a problem is written again each minute.
      const text = [worst.text, worst.evidence, worst.fix, worst.since && Math.floor((Date.now() - new Date(worst.since)) / 60_000)].join(' ');
      if (said !== text) {
        said = text;
        head.className = `health ${worst.kind}`;
        swap(head, h('p', {}, h('span', { class: 'sign', 'aria-hidden': 'true' }, worst.kind === 'good' ? '✓' : '!'), h('span', { class: 'parts' }, inParts(worst))));
      }
      swap(row, figures(status, samples.hour, (lately || past).seconds));
      const isFolded = worst.rest.length > UNFOLDED;
      swap(rest, worst.rest.length ? problems(worst.rest.slice(0, PROBLEMS), isFolded) : null, worst.rest.length > PROBLEMS
        ? h('details', { class: 'rest', open: isOpen, on: { toggle: (event) => { isOpen = event.target.open; } } }, h('summary', { key: 'problems' }, many(worst.rest.length - PROBLEMS, 'more problem')), problems(worst.rest.slice(PROBLEMS), isFolded))
        : null);
      swap(parts.strip, strip(status));
      swap(parts.troubles, troubles(past.troubles, status, since));
      swap(spans, ['hour', 'day'].map((name) => h('button', { type: 'button', key: name, 'aria-pressed': String(name === span), on: { click: () => choose(name) } }, name)));
      if (!axis.isDragged) swap(parts.plots, plots(past, span === 'day' ? 86_400_000 : 3_600_000, status, axis));
      swap(parts.events, events.length ? events.map(line) : h('li', { class: 'empty' }, `No events since this page was opened. Uptime ${duration(status.uptime_seconds)}.`));
    },
    event(name, data) {
      if (name === 'lagged') return;
      events.unshift([name, data]);
      events.length = Math.min(events.length, KEPT_EVENTS);
    },
  };
  return page;
}
