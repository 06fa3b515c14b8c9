// Queues of calls: one row each, on the page of conferences.

import * as api from './api.js';
import { h, swap, table } from './dom.js';
import { count, duration, masked } from './format.js';

/** A caller, as a link to its call. */
const caller = (call) => h('a', { href: `#/calls/${call.call}` }, masked(call.from) || call.call);

/** The queues as a table; nothing where there is none. */
export function queues() {
  const node = h('section', {});
  async function refresh() {
    const { queues: all } = await api.get('/v1/queues');
    swap(node, all.length ? [h('h2', {}, 'Queues'), table([
      { name: 'Queue', cell: (one) => h('strong', {}, one.name) },
      { name: 'Waiting', cell: (one) => `${count(one.size)} of ${count(one.max_size)}`, class: 'number' },
      { name: 'Longest wait', cell: (one) => (one.size ? duration(one.longest_wait_seconds) : '–'), class: 'number' },
      { name: 'Average wait', cell: (one) => (one.size ? duration(one.average_wait_seconds) : '–'), class: 'number' },
      { name: 'Dialling', cell: (one) => count(one.dialling), class: 'number' },
      { name: 'Next', cell: (one) => (one.calls.length ? caller(one.calls[0]) : '–') },
    ], { caption: 'Queues of calls', rows: all, key: (one) => one.sid })] : null);
  }
  return { node, refresh };
}
