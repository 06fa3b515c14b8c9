// API: requests to the Twilio-compatible API, and callbacks that wait for their receivers.

import * as api from './api.js';
import { chip, h, moment, section, swap, table } from './dom.js';
import { count, figure, masked } from './format.js';

/** Returns the family of metrics by the label that names its rows, with the value of each. */
function rows(families, name, label) {
  return new Map((families[name] || []).map(({ labels, value }) => [labels[label], value]));
}

function callbackTable(families) {
  const waiting = rows(families, 'trunkgate_callbacks_waiting', 'app');
  const totals = families.trunkgate_callbacks_total || [];
  const total = (app, result) => totals.filter(({ labels }) => labels.app === app && labels.result === result).reduce((sum, { value }) => sum + value, 0);
  const apps = [...new Set([...waiting.keys(), ...totals.map(({ labels }) => labels.app)])].sort();
  const figures = (name, result) => ({ name, cell: (app) => count(total(app, result)), class: 'number' });
  return table([
    { name: 'Application', cell: (app) => app },
    { name: 'Waiting', cell: (app) => (waiting.get(app) ? chip('warn', count(waiting.get(app))) : '0'), class: 'number' },
    figures('Delivered', 'delivered'), figures('Retried', 'retried'), figures('Given up', 'given_up'), figures('Dropped', 'dropped'),
  ], { caption: 'Callbacks by application', rows: apps, key: (app) => app, empty: 'No callbacks since the start.' });
}

export function requestsPage(main) {
  const parts = Object.fromEntries(['head', 'latest', 'callbacks', 'counts'].map((name) => [name, h('div', {})]));
  const which = h('select', { id: 'which', name: 'which' }, h('option', { value: 'all' }, 'all'), h('option', { value: 'failed' }, 'failed only'));
  let known = null;
  const draw = () => {
    if (!known) return;
    const shown = which.value === 'all' ? known.requests : known.failures;
    swap(parts.latest, table([
      { name: 'Time', cell: (one) => moment(one.at) },
      {
        name: 'Request',
        cell: (one) => [
          h('code', {}, one.method ? `${one.method} ${one.path || 'account'}${one.query ? `?${masked(one.query)}` : ''}` : 'not let in'),
          one.call ? [' ', h('a', { href: `#/calls/${one.call}` }, 'call')] : null,
          one.message ? [h('br', {}), masked(one.message)] : null,
        ],
      },
      { name: 'Status', cell: (one) => chip(one.status < 400 ? 'good' : one.status < 500 ? 'warn' : 'bad', one.code ? `${one.status}, code ${one.code}` : String(one.status)) },
      { name: 'Time taken', cell: (one) => (one.method ? figure(one.ms, 1, ' ms') : '–'), class: 'number' },
      { name: 'Client', cell: (one) => [one.source || '–', one.key ? [h('br', {}), h('code', {}, one.key)] : null] },
    ], { caption: 'Latest requests', rows: shown, key: (one, at) => `${one.at} ${one.path} ${at}`, empty: which.value === 'all' ? 'No requests yet.' : 'No failed requests.' }));
  };
  which.addEventListener('change', draw);
  main.append(h('h1', {}, 'API'), parts.head, section('Callbacks', parts.callbacks),
    section('Latest requests', h('form', { class: 'filters', 'aria-label': 'Requests' }, h('label', {}, 'Show', which)), parts.latest),
    section('Requests since start', parts.counts));
  return {
    title: 'API',
    async refresh() {
      const [seen, families] = await Promise.all([api.get('/v1/api'), api.metrics()]);
      known = seen;
      const failed = seen.requests.filter((one) => one.status >= 400).length;
      swap(parts.head, seen.open
        ? h('p', { class: `verdict ${failed ? 'warn' : 'good'}` }, failed ? `${count(failed)} of the latest ${count(seen.requests.length)} requests failed.` : 'The Twilio-compatible API is open; none of the latest requests failed.')
        : h('p', { class: 'verdict' }, 'The Twilio-compatible API is closed: ', h('code', {}, '[api] auth_token'), ' opens it.'));
      draw();
      swap(parts.callbacks, callbackTable(families));
      swap(parts.counts, table([
        { name: 'Resource', cell: (row) => row.resource },
        { name: 'Status', cell: (row) => String(row.status), class: 'number' },
        { name: 'Count', cell: (row) => count(row.count), class: 'number' },
      ], { caption: 'Requests since start', rows: seen.counts, key: (row) => `${row.resource} ${row.status}`, empty: 'No requests yet.' }));
    },
  };
}
