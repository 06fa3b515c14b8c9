// Queues of calls: one row each, on the page of conferences; a row opens to its callers.

import * as api from './api.js';
import { h, moment, swap, table } from './dom.js';
import { count, duration, masked } from './format.js';

/** Callers that a row opens to: the API has the first ones. */
const open = new Set();

/** A caller, as a link to its call. */
const caller = (call) => h('a', { href: `#/calls/${call.call}` }, masked(call.from) || call.call);

/** The callers of a queue, the next one first. */
function detail(one) {
  return h('div', { class: 'details' }, table([
    { name: 'Caller', cell: (call) => [h('span', { class: 'dim position' }, call.position), ' ', caller(call)] },
    { name: 'Called', cell: (call) => masked(call.to) || '–', wide: true },
    { name: 'Waits for', cell: (call) => duration(call.waited_seconds), class: 'number' },
    { name: 'Since', cell: (call) => moment(call.enqueued_at), wide: true },
  ], { caption: `Callers of ${one.name}`, rows: one.calls, key: (call) => call.call, compact: true, isWhole: true, empty: 'No caller waits.' }),
  one.size > one.calls.length ? h('p', { class: 'dim' }, `The first ${count(one.calls.length)} of ${count(one.size)} are shown.`) : null);
}

/** The queues as a table; nothing where there is none. */
export function queues() {
  const node = h('section', { 'aria-label': 'Queues' });
  async function refresh() {
    const { queues: all } = await api.get('/v1/queues');
    const toggle = (one) => { open[open.has(one.sid) ? 'delete' : 'add'](one.sid); draw(all, toggle); };
    draw(all, toggle);
  }
  function draw(all, toggle) {
    const waiting = all.reduce((sum, { size }) => sum + size, 0);
    swap(node, all.length ? [h('h2', {}, 'Queues ', h('span', { class: 'dim' }, `${count(waiting)} waiting`)), table([
      {
        name: 'Queue', cell: (one) => h('button', { type: 'button', class: 'expand', key: `open ${one.sid}`, 'aria-expanded': String(open.has(one.sid)), on: { click: () => toggle(one) } },
          h('span', { 'aria-hidden': 'true', class: 'sign' }, open.has(one.sid) ? '▾' : '▸'), h('strong', {}, one.name)),
      },
      { name: 'Waiting', cell: (one) => h('span', { class: one.size >= one.max_size ? 'bad' : one.size ? null : 'dim' }, `${count(one.size)} of ${count(one.max_size)}`), class: 'number' },
      { name: 'Longest wait', cell: (one) => (one.size ? duration(one.longest_wait_seconds) : '–'), class: 'number' },
      { name: 'Average wait', cell: (one) => (one.size ? duration(one.average_wait_seconds) : '–'), class: 'number' },
      { name: 'Dialling', title: 'Parties that have dialled the queue and wait for a caller', cell: (one) => count(one.dialling), class: 'number' },
      { name: 'Next caller', cell: (one) => (one.calls.length ? caller(one.calls[0]) : '–'), wide: true },
    ], { caption: 'Queues of calls', rows: all, key: (one) => one.sid, compact: true, stats: true, open: toggle, detail: (one) => (open.has(one.sid) ? detail(one) : null) })] : null);
  }
  return { node, refresh };
}
