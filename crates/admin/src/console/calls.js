// Calls: live and past calls in one list. The filter is part of the URL; totals and bars are those of all calls that match it.

import * as api from './api.js';
import { chip, h, rich, say, swap, table } from './dom.js';
import { ago, count, duration, figure, kind, many, masked, number, numbersAreMasked, talked, time, words, zone } from './format.js';
import { mistake, orderChoice, ordered } from './listing.js';
import { bars } from './plot.js';

const STATES = ['', 'live', 'trying', 'ringing', 'early', 'answered', 'held', 'transferring', 'ended'];
const FLAGS = ['', 'one_way', 'codec_mismatch', 'unsent', 'loss', 'app_error', 'agent_failed', 'recording_gap', 'failed_over', 'agent', 'listened', 'transcoded', 'srtp'];
/** Flags that report a fault. */
export const BAD_FLAGS = ['one_way', 'codec_mismatch', 'unsent', 'loss', 'app_error', 'agent_failed'];
/** Flags of what harms less: a recording with a gap, another target than the first. */
const WARN_FLAGS = ['recording_gap', 'failed_over'];
const OUTCOMES = ['', 'answered', 'busy', 'no_answer', 'canceled', 'refused', 'failed', 'lost'];
/** What choices mean that are no word of a call. */
const MEANINGS = { lost: 'failed or refused' };
const FIELDS = ['state', 'outcome', 'flag', 'trunk', 'direction', 'app', 'failing', 'failed', 'failed_reason', 'reason', 'code', 'route', 'search', 'longer', 'shorter', 'within', 'since', 'until'];
/** Choices of `direction`, which a link from a trunk sets: calls to it with the code that it sent, or calls from it with the code that it got. */
const DIRECTIONS = [['', 'any'], ['received', 'to it, code it sent'], ['sent', 'from it, code it got']];
/** Filters without a field, which links set: their names, and which other ones go with them. */
const FURTHER = { route: ['route'], app: ['application'], failing: ['failed at'], failed: ['failed over from', 'failed_reason'], failed_reason: ['because of'] };
/** Choices of `within`, in seconds. */
const WITHIN = [['', 'any time'], ['900', 'last 15 min'], ['3600', 'last hour'], ['21600', 'last 6 h'], ['86400', 'last 24 h'], ['range', 'from … before …']];
const RANGE = 'range';
const PAGE = matchMedia('(max-width: 560px)').matches ? 25 : 100;
/** New calls that are counted and asked for while the rows stand still. */
const NEW_CALLS = 1000;
/** How often the totals are announced at most. */
const SPOKEN_MS = 5000;
/** A list that is scrolled by less than this is at its top, in pixels. */
const AT_TOP = 80;
/** Ended calls that the edge keeps, and so the most that a CSV file has. */
const KEPT_CALLS = 10_000;
/** The totals of an edge with many calls take longer: they are computed for one part in so many of the time. */
const SUMMARY_SHARE = 20;

/** The lowest score of a call: of what the edge received from its parties or, by RTCP, of what they received; `null` if none is known. */
function worst(call) {
  const all = call.legs.flatMap(({ rtp }) => [rtp.mos, rtp.far && rtp.far.mos]).filter((mos) => isFinite(mos ?? NaN));
  return all.length ? Math.min(...all) : null;
}

function score(call) {
  const legs = call.legs.filter((leg) => leg.rtp.mos !== null);
  // No other party's score makes good that one was not heard at all.
  if (legs.length === 0 || call.flags.includes('one_way')) return '–';
  return h('span', { class: 'scores' }, legs.slice(0, 2).map((leg) => {
    const mos = leg.rtp.mos;
    const bar = h('span', { class: mos < 3.1 ? 'bad' : mos < 3.6 ? 'warn' : 'good' });
    bar.style.width = `${Math.round(((mos - 1) / 3.5) * 100)}%`;
    return h('span', { class: 'score', title: `${leg.trunk || leg.agent}: MOS ${figure(mos, 2)}` }, h('span', { class: 'unseen' }, `${leg.trunk || leg.agent} ${figure(mos, 2)} `), bar);
  }), h('span', { 'aria-hidden': 'true' }, figure(worst(call), 1)));
}

function parties(call) {
  const [first, ...others] = call.legs;
  const answering = others.filter((leg) => leg.state === 'answered' || !leg.reason).pop();
  if (call.conference && !answering) return `${first ? first.trunk || first.agent || 'SIP URI' : '–'} → conference:${call.conference.name}`;
  const last = answering || others.pop();
  const name = (leg) => (leg ? leg.trunk || leg.agent || 'SIP URI' : '–');
  const app = call.app ? ` → app:${call.app}` : '';
  if (call.voicemail && !answering) return `${name(first)}${app} → voicemail:${call.voicemail}`;
  if (app && !last) return `${name(first)}${app}`;
  // A target that was passed over has no leg.
  return `${name(first)}${app} → ${last ? name(last) : call.passed_over?.at(-1)?.target || '–'}`;
}

/** State of a live call or outcome of an ended one; a fault of its media has the colour of a fault. */
export function result(call) {
  const isEnded = call.state === 'ended';
  const isBad = call.flags.some((flag) => BAD_FLAGS.includes(flag));
  const word = isEnded ? call.outcome : call.state;
  return chip(`${isBad ? 'bad' : kind(word)}${isEnded ? '' : ' live'}`, words(word));
}

/** The code that the caller got, behind that of the last target if it is another. */
function code(call) {
  const theirs = call.legs.map((leg) => leg.sip_code).filter(Boolean).pop();
  return theirs && call.sip_code >= 300 && theirs !== call.sip_code ? `${theirs} → ${call.sip_code}` : call.sip_code || '–';
}

/** Says since when there is no call, how many a crash cut short, and where the records of earlier ones are. */
function none({ listed_since: since, cut_short: cut, records }) {
  const crash = cut ? ` The previous process did not shut down cleanly and cut ${many(cut, 'call')} short.` : '';
  const start = since ? `No calls since the edge was started ${ago(since)}.` : 'No calls.';
  return [`${start} They appear here as they arrive.${crash}`, records ? [' Records of earlier calls: ', h('code', {}, records)] : ''];
}

/** What targets said as they rejected the call. */
function said(call) {
  return call.legs.filter((leg) => leg.sip_code).map((leg) => `${leg.trunk || 'SIP URI'}: ${leg.sip_code} ${leg.sip_text || ''}`).join('; ') || null;
}

function codecs(call) {
  const all = [...new Set(call.legs.map((leg) => leg.codec).filter(Boolean))];
  return all.join(' / ') || '–';
}

/** Whether neither side of a call was heard. */
function isMute(call) {
  const [first, ...others] = call.legs;
  const last = others.filter((leg) => leg.state === 'answered' || leg.rtp.tx_packets > 0 || !leg.sip_code).pop();
  return Boolean(last) && [first, last].every((leg) => leg.rtp.rx_packets === 0);
}

export function flags(call) {
  const text = (flag) => (flag === 'one_way' && isMute(call) ? 'no audio' : words(flag));
  return call.flags.map((flag) => chip(BAD_FLAGS.includes(flag) ? 'bad' : WARN_FLAGS.includes(flag) ? 'warn' : 'plain', text(flag)));
}

/** A number or user; the tooltip has all of one that is too long for its column. */
function end(text) {
  return h('span', { class: 'end', title: number(text) }, number(text));
}

const COLUMNS = [
  { name: 'Started', cell: (call) => [h('a', { href: `#/calls/${call.sid}`, key: call.sid, title: call.started_at }, time(call.started_at)), ' ', h('span', { class: 'dim age' }, ago(call.started_at))], sort: (call) => call.started_at, class: 'nowrap', down: true },
  { name: 'From → to', cell: (call) => [end(call.from), ' → ', end(call.to)], sort: (call) => call.to, wide: true, class: 'pair' },
  { name: 'Trunk → target', cell: parties, sort: parties, wide: true },
  { name: 'State', cell: (call) => [result(call), call.flags.length ? h('span', { class: 'also tags' }, flags(call)) : null], sort: (call) => call.state + call.outcome },
  { name: 'SIP code', cell: (call) => [h('span', { title: said(call), class: 'nowrap' }, code(call)), call.reason ? h('span', { class: 'also' }, h('code', { class: 'slug' }, call.reason)) : null], sort: (call) => call.sip_code, down: true },
  { name: 'Duration', cell: (call) => duration(talked(call)), sort: talked, class: 'number nowrap', down: true },
  { name: 'Codec', cell: codecs, sort: codecs, class: 'roomy' },
  { name: 'MOS', cell: score, wide: true, class: 'roomy', title: 'Score of each party; the number is that of the worst', sort: worst, when: (calls) => calls.some((call) => worst(call) !== null) },
  { name: 'Flags', cell: (call) => h('span', { class: 'tags' }, flags(call)), wide: true, class: 'merged', when: (calls) => calls.some((call) => call.flags.length) },
  { name: 'Reason', cell: (call) => (call.reason ? h('code', { class: 'slug' }, call.reason) : '–'), sort: (call) => call.reason, wide: true, class: 'merged' },
];

/** Name of a bin of durations. */
function binName({ from, to }) {
  if (to === null) return `> ${from / 3600} h`;
  if (from < 60) return `${from}–${to} s`;
  return from < 3600 ? `${figure(from / 60, from % 60 ? 1 : 0)}–${figure(to / 60, to % 60 ? 1 : 0)} min` : duration(from);
}

/** The bars of durations, over all calls that match the other filters; each is a filter. */
function histogram(summary, asked, go) {
  const all = summary.durations.map((bin) => ({
    ...bin, label: binName(bin), value: bin.calls, mark: Number(asked.longer || -1) === bin.from && Number(asked.shorter || Infinity) === (bin.to ?? Infinity),
  }));
  return bars(`Duration of ${many(all.reduce((sum, { value }) => sum + value, 0), 'answered call')}`, all, (place) => {
    const { from, to, mark } = all[place];
    go(mark ? { longer: '', shorter: '' } : { longer: String(from), shorter: to ?? '' });
  });
}

/** Fills a select with counted choices, unless the user has it open. */
function offer(select, counts, asked, text) {
  if (document.activeElement === select) return;
  const all = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  if (asked && !(asked in counts)) all.unshift([asked, asked.split(',').reduce((sum, one) => sum + (counts[one] || 0), 0)]);
  const print = JSON.stringify([all, asked]);
  if (select.dataset.print === print) return;
  select.dataset.print = print;
  select.replaceChildren(h('option', { value: '' }, 'any'), ...all.map(([value, calls]) => h('option', { value, selected: value === asked }, `${text(value)} (${count(calls)})`)));
}

/** The form of filters; a change of a select applies it at once. */
function filters(asked, go) {
  const select = (name, label, options) => h('label', {}, label, h('select', { 'data-select': name, on: { change: (event) => { event.target.blur(); go({ [name]: event.target.value }); } } }, options));
  const moment = (name, label) => h('label', {}, label, h('input', { type: 'datetime-local', step: '1', value: localTime(asked[name]), title: `Start of the call, in the time zone of this page (${zone()})`, 'data-moment': name }));
  const pick = (name, label, all) => select(name, label, all.map((value) => h('option', { value, selected: value === asked[name] }, value ? MEANINGS[value] || words(value) : 'any')));
  const type = (name, label, width, hint) => h('label', {}, label, h('input', { value: asked[name], size: width, placeholder: hint, 'data-field': name, spellcheck: 'false', autocomplete: 'off' }));
  const trunk = h('span', {});
  const hasRange = Boolean(asked.since || asked.until);
  const range = h('span', { class: 'pair', hidden: !hasRange }, moment('since', 'From'), moment('until', 'Before'));
  /** Filters by the time that was chosen; the fields of a range are filled first. */
  const started = (event) => {
    range.hidden = event.target.value !== RANGE;
    if (!range.hidden) {
      range.querySelector('input').focus();
      return;
    }
    event.target.blur();
    go({ within: event.target.value, since: '', until: '' });
  };
  const form = h('form', { class: 'filters', 'aria-label': 'Filters' },
    pick('state', 'State', STATES), pick('outcome', 'Outcome', OUTCOMES), pick('flag', 'Flag', FLAGS), trunk,
    asked.direction ? select('direction', 'Calls', DIRECTIONS.map(([value, text]) => h('option', { value, selected: value === asked.direction }, text))) : null,
    select('reason', 'Reason', h('option', { value: '' }, 'any')), select('code', 'SIP code', h('option', { value: '' }, 'any')),
    h('label', {}, 'Started', h('select', { 'data-select': 'within', on: { change: started } }, WITHIN.map(([value, text]) => h('option', { value, selected: value === (hasRange ? RANGE : asked.within) }, text)))),
    range,
    h('span', { class: 'pair' }, type('longer', 'Lasting from (s)', 4), type('shorter', 'Lasting below (s)', 4)), type('search', 'Search', 12),
    h('span', { class: 'pair' }, h('button', { type: 'submit', class: 'quiet' }, 'Apply'), h('a', { href: '#/calls', class: 'button quiet' }, 'Clear')));
  range.addEventListener('input', () => range.querySelector('[data-moment=until]').setCustomValidity(''));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const typed = [...form.querySelectorAll('[data-field]')].map((field) => [field.dataset.field, field.value.trim()]);
    // A field has whole seconds: a time that was not changed stays as the address has it.
    const moments = [...form.querySelectorAll('[data-moment]')].map(({ dataset: { moment: name }, value }) => [name, value === localTime(asked[name]) ? asked[name] : value && new Date(value).toISOString()]);
    const { since, until } = Object.fromEntries(moments);
    const end = range.querySelector('[data-moment=until]');
    end.setCustomValidity(isAfter(since, until) ? '“Before” has to be later than “From”.' : '');
    if (!end.reportValidity()) return;
    go({ ...Object.fromEntries([...typed, ...moments]), ...(moments.some(([name, value]) => value !== asked[name]) ? { within: '' } : {}) });
  });
  Promise.all([api.get('/v1/trunks'), api.get('/v1/agents')])
    .then(([{ trunks }, { agents }]) => swap(trunk, pick('trunk', 'Trunk or agent', [...(asked.direction ? [] : ['']), ...new Set([...trunks, ...agents].map(({ name }) => name))])))
    .catch(() => {});
  const find = (name) => form.querySelector(`[data-select=${name}]`);
  return {
    form,
    show(summary) {
      offer(find('reason'), summary.reasons, asked.reason, words);
      offer(find('code'), summary.codes, asked.code, String);
    },
  };
}

/** A time of the address as a field has it, in the time zone of the page and without seconds that are 0; '' if it is none. */
function localTime(text) {
  const at = new Date(text);
  if (!text || Number.isNaN(at.getTime())) return '';
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace(/(T\d\d:\d\d):00$/, '$1');
}

/** Returns the parameters of the request: `within` becomes a time. */
function parameters({ within, ...asked }) {
  const since = within ? new Date(Date.now() - within * 1000).toISOString() : '';
  return { ...asked, since: !asked.since || (since && since > asked.since) ? since : asked.since };
}

/** Whether a text is a number of seconds. */
const isSpan = (text) => /^[1-9]\d{0,8}$/.test(text);

/** Whether a range ends before it begins, or at once. */
const isAfter = (since, until) => Boolean(since && until) && new Date(since) >= new Date(until);

/** Parameters of the address that are no filter, or no value of one that the edge does not see, with what is wrong. */
function unknown(query) {
  const others = [...new Set(query.keys())].filter((name) => ![...FIELDS, 'by', 'up'].includes(name));
  const isBad = { within: (value) => !isSpan(value), by: (value) => !COLUMNS.some((column) => column.sort && column.name === value) };
  const bad = Object.keys(isBad).filter((name) => query.get(name) && isBad[name](query.get(name)));
  return [...others.map((name) => `\`${name}\` is no filter`), ...bad.map((name) => `\`${query.get(name)}\` is not a value of \`${name}\``)];
}

/** Filters of the address for which the form has no field, each with a button that removes it. */
function further(asked, go) {
  const all = Object.entries(FURTHER).filter(([name]) => asked[name]);
  return all.length ? h('p', { class: 'tags further' }, all.map(([name, [label, ...with_]]) => h('button', { type: 'button', class: 'quiet', key: `without ${name}`, 'aria-label': `Remove the filter ${label} ${asked[name]}`, on: { click: () => go(Object.fromEntries([name, ...with_].map((one) => [one, '']))) } }, `${label}: ${name === 'failed_reason' ? words(asked[name]) : masked(asked[name])} ✕`))) : null;
}

function save(asked) {
  const path = `/v1/calls${api.query({ ...parameters(asked), format: 'csv', mask: numbersAreMasked() ? 'true' : '' })}`;
  return api.download(path, `calls-${new Date().toISOString().slice(0, 16).replaceAll(':', '')}.csv`).catch((error) => say(error.message, true));
}

/** Whether the reader is at a row of the list, which must not move then: by the pointer or the focus, or by having scrolled. */
function isRead(list) {
  const isHovered = matchMedia('(hover: hover)').matches && list.querySelector('tbody:hover');
  return Boolean(isHovered || (list.contains(document.activeElement) && document.activeElement.closest('tbody')) || (scrollY > AT_TOP && list.getBoundingClientRect().top < innerHeight / 2));
}

export function callsPage(main, query, kept, again) {
  const asked = Object.fromEntries(FIELDS.map((name) => [name, query.get(name) || '']));
  const find = (name) => COLUMNS.find((column) => column.sort && column.name === name);
  if (!isSpan(asked.within)) asked.within = '';
  const isFiltered = FIELDS.some((name) => asked[name]);
  let sorted = { by: find(query.get('by')) ? query.get('by') : 'Started', down: query.get('up') === null };
  let { limit, summary, calls, extent } = kept || { limit: PAGE, summary: null, calls: [], extent: {} };
  let next = 0;
  /** Calls that are newer than the rows, while these stand still. */
  let waiting = 0;
  const address = (changes) => `#/calls${api.query({ ...asked, ...changes, by: sorted.by === 'Started' ? '' : sorted.by, up: sorted.down ? '' : '1' })}`;
  const go = (changes) => { location.hash = address(changes); };
  const filter = filters(asked, go);
  const parts = Object.fromEntries(['bars', 'total', 'news', 'list', 'more'].map((name) => [name, h('div', {})]));
  /** Shows the newest calls again, from the top. */
  const renew = () => {
    document.activeElement?.blur();
    scrollTo(0, 0);
    isRenewed = true;
    again();
  };
  let isRenewed = false;
  /** Whether older calls were asked for. */
  let isWider = false;
  const order = (by) => {
    sorted = { by, down: sorted.by === by ? !sorted.down : Boolean(find(by).down) };
    history.replaceState(history.state, '', address({}));
    choice.show(sorted);
    draw();
  };
  const choice = orderChoice(COLUMNS, sorted, order);
  // On a phone the form would fill the screen.
  const isNarrow = matchMedia('(max-width: 760px)').matches;
  const used = FIELDS.filter((name) => asked[name]).length;
  const box = h('details', { class: 'filters-box', open: !isNarrow }, h('summary', {}, used ? `Filters (${used} used)` : 'Filters'), filter.form);
  const wrong = unknown(query);
  const known = [...FIELDS, 'by', 'up'].join(', ');
  const nothing = isAfter(asked.since, asked.until) ? h('p', { class: 'verdict warn', id: wrong.length ? null : 'unknown', role: 'alert' }, h('strong', {}, 'No call can match'), ': ', rich('`since` is not before `until`.')) : null;
  main.append(...[h('h1', {}, 'Calls'), mistake(wrong, known), nothing, box, further(asked, go), parts.bars, parts.total, choice.node, parts.news, parts.list, parts.more].filter(Boolean));
  parts.news.className = 'news';

  // A screen reader hears the totals from a node that stays, and not at every call.
  const line = h('p', {});
  const spoken = h('span', { class: 'unseen', role: 'status' });
  let nextWord = 0;
  parts.total.append(h('div', { class: 'total' }, line,
    h('button', { type: 'button', class: 'quiet', key: 'csv', title: 'All calls that match the filter, at most 10,000, as a table for a spreadsheet', on: { click: () => save(asked) } }, 'Download CSV')), spoken);

  function total() {
    const { total: all, live } = summary;
    const shown = calls.length < all - waiting ? ` ${waiting ? '' : 'The newest '}${count(calls.length)} are shown${sorted.by === 'Started' && sorted.down ? '' : ' and sorted'}.` : '';
    const bounded = all - live >= KEPT_CALLS ? ` The edge keeps the newest ${count(KEPT_CALLS)} ended calls.` : '';
    swap(line, h('strong', {}, many(all, 'call')), `${isFiltered ? ` ${all === 1 ? 'matches' : 'match'} the filter` : ''}, ${count(live)} live.${shown}${bounded}`);
    if (Date.now() >= nextWord && spoken.textContent !== line.textContent) {
      nextWord = Date.now() + SPOKEN_MS;
      spoken.textContent = line.textContent;
    }
  }

  /** Draws the page, with the rows in order, or in the places that they have. */
  function draw(isInPlace) {
    swap(parts.bars, summary.durations.some((bin) => bin.calls) ? histogram(summary, asked, go) : null);
    total();
    choice.node.hidden = calls.length < 2;
    filter.show(summary);
    swap(parts.news, waiting ? h('button', { type: 'button', class: 'main', key: 'news', on: { click: renew } }, `↑ ${waiting >= NEW_CALLS ? `${count(NEW_CALLS)} or more new calls` : many(waiting, 'new call')}`) : null);
    swap(parts.list, table(COLUMNS.filter((column) => !column.when || column.when(calls) || column.name === sorted.by), {
      caption: 'Calls', isWhole: true, rows: isInPlace ? calls : ordered(calls, find(sorted.by), sorted.down), key: (call) => call.sid, sorted, compact: true,
      empty: isFiltered ? ['No call matches the filter. ', h('a', { href: '#/calls' }, 'Show all calls')] : none(extent),
      mark: (call) => (call.flags.some((flag) => BAD_FLAGS.includes(flag)) ? 'marked' : call.flags.includes('recording_gap') ? 'marked warned' : null), onSort: order,
      open: (call) => { location.hash = `#/calls/${call.sid}`; },
    }));
    swap(parts.more, calls.length < summary.total - waiting && calls.length >= limit
      ? h('p', {}, h('button', { type: 'button', class: 'quiet', key: 'more', on: { click: () => { limit *= 4; isWider = true; again(); } } }, 'Show older calls')) : null);
  }

  /** Returns the rows in their places with what has changed in them, behind them the older ones if these are wanted; counts the calls that are newer. */
  function inPlace(answer, grows) {
    const found = new Map(answer.map((call) => [call.sid, call]));
    const newest = calls.reduce((last, call) => (call.started_at > last ? call.started_at : last), '');
    const stay = ordered(calls, find(sorted.by), sorted.down).map((call) => found.get(call.sid) || call);
    stay.forEach(({ sid }) => found.delete(sid));
    const others = [...found.values()];
    waiting = others.filter((call) => call.started_at > newest).length;
    return grows ? [...stay, ...others.filter((call) => call.started_at <= newest)].slice(0, limit) : stay;
  }

  const page = {
    title: 'Calls',
    keep: () => (summary ? { limit, summary, calls, extent } : null),
    async refresh() {
      const began = Date.now();
      const isWhole = summary === null || began >= next;
      const asks = limit + (calls.length ? Math.min(NEW_CALLS, waiting + PAGE) : 0);
      const answer = await api.get(`/v1/calls${api.query({ ...parameters(asked), limit: asks, summary: isWhole ? 'true' : '' })}`);
      const holds = calls.length > 0 && !isRenewed && isRead(parts.list);
      isRenewed = false;
      const grows = isWider;
      isWider = false;
      if (!holds) waiting = 0;
      calls = holds ? inPlace(answer.calls, grows) : answer.calls.slice(0, limit);
      extent = answer;
      if (isWhole) {
        ({ summary } = answer);
        next = Date.now() + SUMMARY_SHARE * (Date.now() - began);
      }
      draw(holds && !grows);
    },
  };
  if (summary) draw();
  return page;
}
