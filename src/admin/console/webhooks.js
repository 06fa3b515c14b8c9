// Requests to the applications of a call: each with its tries, its answer and the beginning of the answer's body.

import { chip, h, table } from './dom.js';
import { masked, offset } from './format.js';

function result(one) {
  if (one.status === null) return chip('bad', masked(one.failure || 'no answer'));
  return chip(one.status < 300 ? 'good' : one.status < 400 ? '' : 'bad', String(one.status));
}

function tries(entry) {
  return entry.tries.map((one) => h('p', { class: 'try' }, result(one), ' ', h('code', { class: 'long' }, masked(one.url)),
    h('span', { class: 'dim' }, `${one.remote ? ` ${one.remote},` : ''} ${one.duration_ms} ms`)));
}

/** Returns the table of a trace's webhooks; null where it has none. */
export function webhooks(trace) {
  const rows = (trace ? trace.entries : []).filter((entry) => entry.kind === 'webhook');
  if (rows.length === 0) return null;
  const total = (entry) => entry.tries.reduce((sum, one) => sum + one.duration_ms, 0);
  return table([
    { name: 'Time', cell: (entry) => offset(entry.at_us), class: 'number nowrap' },
    { name: 'Request', cell: (entry) => `${entry.purpose} ${entry.method}`, class: 'nowrap' },
    { name: 'Tries', cell: tries, wide: true },
    { name: 'Total', cell: (entry) => `${total(entry)} ms`, class: 'number nowrap' },
    { name: 'Error', cell: (entry) => (entry.error ? h('code', {}, String(entry.error)) : '–') },
  ], {
    caption: 'Webhooks', rows, key: (entry) => `webhook ${entry.at_us}`,
    detail: (entry) => (entry.body ? h('pre', { class: 'body', tabindex: '0', 'aria-label': `Body of the answer to ${entry.purpose}` }, masked(entry.body)) : null),
  });
}
