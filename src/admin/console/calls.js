// Calls: live and past calls in one list. The filter is part of the URL.

import * as api from './api.js';
import { chip, h, swap, table } from './dom.js';
import { count, duration, figure, kind, many, number, talked, time, words } from './format.js';
import { bars } from './plot.js';

const STATES = ['', 'trying', 'ringing', 'early', 'answered', 'held', 'transferring', 'ended'];
const FLAGS = ['', 'one_way', 'codec_mismatch', 'unsent', 'failed_over', 'agent', 'listened', 'transcoded', 'srtp'];
/** Flags that report a fault. */
export const BAD_FLAGS = ['one_way', 'codec_mismatch', 'unsent'];
const OUTCOMES = ['', 'answered', 'busy', 'no_answer', 'canceled', 'refused', 'failed'];
const FIELDS = ['state', 'outcome', 'flag', 'trunk', 'reason', 'code', 'route', 'search', 'longer', 'shorter'];
/** Lower bounds of the duration bars, in seconds. 30–34: a lost ACK; 900: a session timer that was not refreshed. */
const STEPS = [0, 5, 15, 30, 34, 60, 180, 600, 880, 920, 3600];
const PAGE = 100;

function score(call) {
  const legs = call.legs.filter((leg) => leg.rtp.mos !== null);
  if (legs.length === 0) return '–';
  return h('span', { class: 'scores' }, legs.slice(0, 2).map((leg) => {
    const mos = leg.rtp.mos;
    const bar = h('span', { class: mos < 3.1 ? 'bad' : mos < 3.6 ? 'warn' : 'good' });
    bar.style.width = `${Math.round(((mos - 1) / 3.5) * 100)}%`;
    return h('span', { class: 'score', title: `${leg.trunk || leg.agent}: MOS ${figure(mos, 2)}` }, h('span', { class: 'unseen' }, `${leg.trunk || leg.agent} ${figure(mos, 2)} `), bar);
  }), h('span', { 'aria-hidden': 'true' }, figure(Math.min(...legs.map((leg) => leg.rtp.mos)), 1)));
}

function parties(call) {
  const [first, ...others] = call.legs;
  const last = others.filter((leg) => leg.state === 'answered' || !leg.reason).pop() || others.pop();
  const name = (leg) => (leg ? leg.trunk || leg.agent || 'SIP URI' : '–');
  return `${name(first)} → ${name(last)}`;
}

/** The code that the caller got, behind that of the last target if it is another. */
function code(call) {
  const theirs = call.legs.map((leg) => leg.sip_code).filter(Boolean).pop();
  return theirs && call.sip_code >= 300 && theirs !== call.sip_code ? `${theirs} → ${call.sip_code}` : call.sip_code || '–';
}

/** What targets said as they rejected the call. */
function said(call) {
  return call.legs.filter((leg) => leg.sip_code).map((leg) => `${leg.trunk || 'SIP URI'}: ${leg.sip_code} ${leg.sip_text || ''}`).join('; ') || null;
}

function codecs(call) {
  const all = [...new Set(call.legs.map((leg) => leg.codec).filter(Boolean))];
  return all.join(' / ') || '–';
}

export function flags(call) {
  return call.flags.map((flag) => chip(BAD_FLAGS.includes(flag) ? 'bad' : flag === 'failed_over' ? 'warn' : 'plain', words(flag)));
}

const COLUMNS = [
  { name: 'Started', cell: (call) => h('a', { href: `#/calls/${call.sid}`, key: call.sid, title: call.started_at }, time(call.started_at)), sort: (call) => call.started_at, class: 'nowrap' },
  { name: 'From → to', cell: (call) => `${number(call.from)} → ${number(call.to)}`, sort: (call) => call.to, class: 'nowrap' },
  { name: 'Trunk → target', cell: parties, sort: parties },
  { name: 'State', cell: (call) => (call.state === 'ended' ? chip(kind(call.outcome), words(call.outcome)) : chip(`${kind(call.state)} live`, call.state)), sort: (call) => call.state + call.outcome },
  { name: 'SIP code', cell: (call) => h('span', { title: said(call) }, code(call)), sort: (call) => call.sip_code || 0, class: 'nowrap' },
  { name: 'Duration', cell: (call) => duration(talked(call)), sort: (call) => talked(call) ?? -1, class: 'number nowrap' },
  { name: 'Codec', cell: codecs, sort: codecs },
  { name: 'MOS', cell: score, sort: (call) => Math.min(...call.legs.map((leg) => leg.rtp.mos ?? 9)) },
  { name: 'Flags', cell: (call) => h('span', { class: 'tags' }, flags(call)) },
  { name: 'Reason', cell: (call) => (call.reason ? h('code', {}, call.reason) : '–'), sort: (call) => call.reason || '' },
];

export function callsPage(main, query) {
  const asked = Object.fromEntries(FIELDS.map((name) => [name, query.get(name) || '']));
  let sorted = { by: query.get('by') || 'Started', down: query.get('up') === null };
  let limit = PAGE;
  const go = (changes) => {
    const next = { ...asked, ...changes };
    location.hash = `#/calls${api.query({ ...next, by: sorted.by === 'Started' ? '' : sorted.by, up: sorted.down ? '' : '1' })}`;
  };
  const pick = (name, label, all) => h('label', {}, label, h('select', { on: { change: (event) => go({ [name]: event.target.value }) } },
    all.map((value) => h('option', { value, selected: value === asked[name] }, value ? words(value) : 'any'))));
  const type = (name, label, width) => h('label', {}, label, h('input', { value: asked[name], size: width, 'data-field': name, spellcheck: 'false', autocomplete: 'off' }));
  const trunk = h('span', {});
  const form = h('form', { class: 'filters', 'aria-label': 'Filters' },
    pick('state', 'State', STATES), pick('outcome', 'Outcome', OUTCOMES), pick('flag', 'Flag', FLAGS), trunk,
    type('reason', 'Reason', 14), type('code', 'SIP code', 4), type('longer', 'Duration from (s)', 5), type('shorter', 'below (s)', 5), type('search', 'Search', 16),
    h('button', { type: 'submit', class: 'quiet' }, 'Apply'),
    h('button', { type: 'button', class: 'quiet', on: { click: () => { location.hash = '#/calls?longer=30&shorter=34'; } }, title: 'Calls with a lost ACK end after this time' }, 'Ended at 30–34 s'),
    h('a', { href: '#/calls', class: 'button quiet' }, 'Clear'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go(Object.fromEntries([...form.querySelectorAll('[data-field]')].map((field) => [field.dataset.field, field.value.trim()])));
  });
  const parts = { bars: h('div', {}), list: h('div', {}), more: h('div', {}) };
  main.append(h('h1', {}, 'Calls'), form, parts.bars, parts.list, parts.more);
  api.get('/v1/trunks').then(({ trunks }) => swap(trunk, pick('trunk', 'Trunk', ['', ...trunks.map(({ name }) => name)]))).catch(() => {});

  function histogram(calls) {
    const ended = calls.map((call) => (call.ended_at ? talked(call) : null)).filter((seconds) => seconds !== null);
    const all = STEPS.map((from, place) => {
      const to = STEPS[place + 1] ?? Infinity;
      return {
        from, to, label: to === Infinity ? `> ${duration(from)}` : from < 60 ? `${from}–${to} s` : from < 3600 ? `${figure(from / 60, from % 60 ? 1 : 0)}–${figure(to / 60, to % 60 ? 1 : 0)} min` : duration(from),
        value: ended.filter((seconds) => seconds >= from && seconds < to).length, mark: Number(asked.longer || -1) === from && Number(asked.shorter || Infinity) === to,
      };
    });
    return bars('Duration of answered calls', all, (place) => {
      const { from, to, mark } = all[place];
      go(mark ? { longer: '', shorter: '' } : { longer: from || '0', shorter: to === Infinity ? '' : to });
    });
  }

  const page = {
    title: 'Calls',
    async refresh() {
      const { calls } = await api.get(`/v1/calls${api.query({ ...asked, limit })}`);
      const column = COLUMNS.find(({ name }) => name === sorted.by);
      const shown = [...calls];
      if (column.name !== 'Started' || !sorted.down) {
        shown.sort((a, b) => {
          const [x, y] = [column.sort(a), column.sort(b)];
          return (x < y ? -1 : x > y ? 1 : 0) * (sorted.down ? -1 : 1);
        });
      }
      swap(parts.bars, histogram(calls));
      swap(parts.list, table(COLUMNS, {
        caption: 'Calls', rows: shown, key: (call) => call.sid, sorted, empty: 'No call matches the filter.',
        mark: (call) => (call.flags.includes('one_way') ? 'marked' : null),
        onSort: (by) => { sorted = { by, down: sorted.by === by ? !sorted.down : true }; page.refresh(); },
        open: (call) => { location.hash = `#/calls/${call.sid}`; },
      }));
      const live = calls.filter((call) => call.state !== 'ended').length;
      swap(parts.more, h('p', { class: 'dim' }, `${many(calls.length, 'call')}, ${count(live)} live. `,
        calls.length === limit ? h('button', { type: 'button', class: 'quiet', key: 'more', on: { click: () => { limit *= 4; page.refresh(); } } }, 'Show older calls') : null));
    },
  };
  return page;
}
