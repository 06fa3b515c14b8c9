// API: requests to the Twilio-compatible API, and callbacks that wait for their receivers.

import * as api from './api.js';
import { chip, h, moment, section, swap, table } from './dom.js';
import { ago, count, duration, figure, many, masked } from './format.js';
import { messageWebhooks } from './webhooks.js';

/** Returns the family of metrics by the label that names its rows, with the value of each. */
function rows(families, name, label) {
  return new Map((families[name] || []).map(({ labels, value }) => [labels[label], value]));
}

/** The last attempt of an application's callbacks that failed, with its call and the next attempt. */
function lastError(one) {
  if (!one) return '–';
  return [h('code', {}, String(one.code)), ' ', masked(one.message), ' ', h('span', { class: 'dim nowrap', title: one.at }, ago(one.at)),
    one.call ? [' ', h('a', { href: `#/calls/${one.call}` }, 'call')] : '',
    one.next_at ? h('span', { class: 'dim nowrap', title: one.next_at }, ` next attempt in ${duration(Math.max(0, (Date.parse(one.next_at) - Date.now()) / 1000))}`) : ''];
}

function callbackTable(families, errors) {
  const last = new Map(errors.map((one) => [one.app, one]));
  const waiting = rows(families, 'trunkgate_callbacks_waiting', 'app');
  const totals = families.trunkgate_callbacks_total || [];
  const total = (app, result) => totals.filter(({ labels }) => labels.app === app && labels.result === result).reduce((sum, { value }) => sum + value, 0);
  const apps = [...new Set([...waiting.keys(), ...totals.map(({ labels }) => labels.app)])].sort();
  const figures = (name, result) => ({ name, cell: (app) => count(total(app, result)), class: 'number' });
  return table([
    { name: 'Application', cell: (app) => (app === 'api' ? [app, h('br', {}), h('span', { class: 'dim' }, 'URLs that requests to the API named')] : app) },
    { name: 'Waiting', cell: (app) => (waiting.get(app) ? chip('warn', count(waiting.get(app))) : '0'), class: 'number' },
    figures('Delivered', 'delivered'), figures('Retried', 'retried'), figures('Given up', 'given_up'), figures('Dropped', 'dropped'),
    { name: 'Last error', cell: (app) => lastError(last.get(app)), wide: true },
  ], { caption: 'Callbacks by application', rows: apps, key: (app) => app, empty: 'No callbacks since the start.' });
}

/** The latest requests, with those that failed authentication: one row for each client and error, so that a scan hides none of the others. */
function withRefused({ requests, failures }) {
  const groups = new Map();
  for (const one of failures.filter(({ method }) => !method)) {
    const name = `${one.source} ${one.status} ${one.code}`;
    const known = groups.get(name);
    if (known) known.times += 1;
    else groups.set(name, { ...one, times: 1 });
  }
  const all = [...requests, ...groups.values()].sort((a, b) => (a.at < b.at ? 1 : -1));
  return { all, failed: [...failures.filter(({ method }) => method), ...groups.values()].sort((a, b) => (a.at < b.at ? 1 : -1)) };
}

/** How many of the latest requests failed, and how many failed authentication. */
function sentence({ requests, failures }) {
  const failed = requests.filter((one) => one.status >= 400).length;
  const refused = failures.filter(({ method }) => !method).length;
  const parts = [failed ? `${count(failed)} of the latest ${count(requests.length)} requests failed` : '', refused ? `${many(refused, 'request')} failed authentication` : ''].filter(Boolean);
  return parts.length ? `${parts.join('; ')}.` : '';
}

export function requestsPage(main) {
  const parts = Object.fromEntries(['head', 'latest', 'callbacks', 'messages', 'counts'].map((name) => [name, h('div', {})]));
  const which = h('select', { id: 'which', name: 'which' }, h('option', { value: 'all' }, 'all'), h('option', { value: 'failed' }, 'failed only'));
  let known = null;
  const draw = () => {
    if (!known) return;
    const rows = withRefused(known);
    const shown = which.value === 'all' ? rows.all : rows.failed;
    swap(parts.latest, table([
      { name: 'Time', cell: (one) => moment(one.at) },
      {
        name: 'Request',
        cell: (one) => [
          h('code', {}, one.method ? `${one.method} ${one.path || 'account'}${one.query ? `?${masked(one.query)}` : ''}` : `authentication failed${one.times > 1 ? `, ${count(one.times)} times` : ''}`),
          one.call && one.status !== 404 ? [' ', h('a', { href: `#/calls/${one.call}` }, 'call')] : null,
          one.message ? [h('br', {}), masked(one.message)] : null,
        ],
      },
      { name: 'Status', cell: (one) => chip(one.status < 400 ? 'good' : one.status < 500 ? 'warn' : 'bad', one.code ? `${one.status}, code ${one.code}` : String(one.status)) },
      { name: 'Time taken', cell: (one) => (one.method ? figure(one.ms, 1, ' ms') : '–'), class: 'number' },
      { name: 'Client', cell: (one) => [one.source || '–', one.key ? [h('br', {}), h('code', {}, one.key)] : null] },
    ], { caption: 'Latest requests', rows: shown, key: (one, at) => `${one.at} ${one.path} ${at}`, empty: which.value === 'all' ? 'No requests yet.' : 'No failed requests.' }));
  };
  which.addEventListener('change', draw);
  const callbacks = section('Callbacks', parts.callbacks);
  const messages = section('Webhooks of text messages', parts.messages);
  const latest = section('Latest requests', h('form', { class: 'filters', 'aria-label': 'Requests' }, h('label', {}, 'Show', which)), parts.latest);
  const counts = section('Requests since start', parts.counts);
  const none = h('p', { class: 'dim covered' });
  for (const one of [callbacks, messages, latest, counts]) one.hidden = true;
  main.append(h('h1', {}, 'API'), parts.head, callbacks, messages, latest, counts, none);
  return {
    title: 'API',
    async refresh() {
      const [seen, families] = await Promise.all([api.get('/v1/api'), api.metrics()]);
      known = seen;
      const failed = sentence(seen);
      swap(parts.head, seen.open
        ? h('p', { class: `verdict ${failed ? 'warn' : 'good'}` }, failed || 'The Twilio-compatible API is open; none of the latest requests failed.')
        : h('p', { class: 'verdict' }, 'The Twilio-compatible API is closed: ', h('code', {}, '[api] auth_token'), ' opens it.'));
      draw();
      swap(parts.callbacks, callbackTable(families, seen.callback_errors));
      swap(parts.counts, table([
        { name: 'Resource', cell: (row) => row.resource },
        { name: 'Status', cell: (row) => String(row.status), class: 'number' },
        { name: 'Count', cell: (row) => count(row.count), class: 'number' },
      ], { caption: 'Requests since start', rows: seen.counts, key: (row) => `${row.resource} ${row.status}`, empty: 'No requests yet.' }));
      callbacks.hidden = parts.callbacks.querySelector('table.void') !== null;
      swap(parts.messages, messageWebhooks(seen.message_webhooks));
      messages.hidden = seen.message_webhooks.length === 0;
      latest.hidden = seen.requests.length + seen.failures.length === 0;
      counts.hidden = seen.counts.length === 0;
      swap(none, [latest.hidden && counts.hidden ? 'No requests' : '', callbacks.hidden ? 'no callbacks' : ''].filter(Boolean).map((text, at) => (at ? text : text[0].toUpperCase() + text.slice(1))).join(' and ').replace(/.$/, '$& since the start.'));
    },
  };
}
