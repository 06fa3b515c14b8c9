// Requests to the applications of a call: one row each, with its tries, its attempts, its answer and the beginning of the answer's body.

import { chip, h, moment, table } from './dom.js';
import { count, masked, offset } from './format.js';

/** Characters of an address in the ladder. */
const URL_CHARS = 60;

/** The trace with one entry for each callback that is sent again while it fails: the first attempt's, with all of them. */
export function condensed(trace) {
  const open = new Map();
  const entries = trace.entries.flatMap((entry) => {
    if (entry.kind !== 'webhook') return [entry];
    const name = `${entry.purpose} ${entry.method} ${entry.tries[0]?.url}`;
    const before = entry.attempt > 1 ? open.get(name) : null;
    if (before) {
      before.attempts.push(entry);
      return [];
    }
    const first = { ...entry, attempts: [entry] };
    open.set(name, first);
    return [first];
  });
  return { ...trace, entries };
}

/** The last attempt of a request. */
const latest = (entry) => entry.attempts[entry.attempts.length - 1];

function resultOf(one) {
  return one.status === null ? one.failure || 'no answer' : String(one.status);
}

/** Tries of one attempt; those with the same address and end are one, with their number and the sum of their times. */
function groups(entry) {
  const all = [];
  for (const one of entry.tries) {
    const last = all[all.length - 1];
    if (last && last.url === one.url && last.remote === one.remote && resultOf(last) === resultOf(one)) {
      last.times += 1;
      last.duration_ms += one.duration_ms;
    } else all.push({ ...one, times: 1 });
  }
  return all;
}

/** How often a callback was sent, and until when. */
function attempts(entry) {
  const last = latest(entry);
  if (entry.attempts.length < 2) return '';
  return last.error ? `${count(entry.attempts.length)} attempts failed, the last at ${offset(last.at_us)}` : `delivered at attempt ${last.attempt}, ${offset(last.at_us)}`;
}

/** A request as one line of the ladder: its address once. */
export function line(entry) {
  const last = latest(entry);
  const short = (url) => (url.length > URL_CHARS ? `${url.slice(0, URL_CHARS)}…` : url);
  const tries = groups(last).map((one) => `${short(one.url)}: ${resultOf(one)} after ${one.duration_ms} ms${one.times > 1 ? `, ${one.times} tries` : ''}`);
  const more = attempts(entry);
  return `${entry.purpose} ${entry.method} ${tries.join('; ')}${last.error ? ` (error ${last.error})` : ''}${more ? `; ${more}` : ''}`;
}

function result(one) {
  const isGood = one.status !== null && one.status < 300;
  return chip(isGood ? 'good' : one.status !== null && one.status < 400 ? '' : 'bad', masked(resultOf(one)));
}

function tries(entry) {
  const more = attempts(entry);
  return [
    groups(latest(entry)).map((one) => h('p', { class: 'try' }, result(one), ' ', h('code', { class: 'long' }, masked(one.url)),
      h('span', { class: 'dim' }, `${one.remote ? ` ${one.remote},` : ''} ${one.duration_ms} ms${one.times > 1 ? ` in ${one.times} tries` : ''}`))),
    more ? h('p', { class: 'try attempts' }, more) : null,
  ];
}

/** Returns the table of requests to webhooks of text messages. */
export function messageWebhooks(rows) {
  return table([
    { name: 'Time', cell: (one) => moment(one.at) },
    { name: 'Message', cell: (one) => [h('code', {}, one.message), h('br', {}), h('span', { class: 'dim' }, `to ${masked(one.number)}`)] },
    { name: 'Request', cell: (one) => one.webhook.method, class: 'nowrap' },
    { name: 'Tries', cell: (one) => tries({ attempts: [one.webhook] }), wide: true },
    { name: 'Error', cell: (one) => (one.code ? [h('code', {}, String(one.code)), ' ', masked(one.cause)] : '–') },
  ], {
    caption: 'Webhooks of text messages', compact: true, rows, key: (one, at) => `message ${one.at} ${at}`, empty: 'No text messages since the start.',
    detail: (one) => (one.webhook.body ? h('pre', { class: 'body', tabindex: '0', 'aria-label': `Body of the answer for ${one.message}` }, masked(one.webhook.body)) : null),
  });
}

/** Returns the table of a condensed trace's webhooks; null where it has none. */
export function webhooks(trace) {
  const rows = (trace ? trace.entries : []).filter((entry) => entry.kind === 'webhook');
  if (rows.length === 0) return null;
  const total = (entry) => entry.attempts.flatMap((attempt) => attempt.tries).reduce((sum, one) => sum + one.duration_ms, 0);
  return table([
    { name: 'Time', cell: (entry) => offset(entry.at_us), class: 'number nowrap' },
    { name: 'Request', cell: (entry) => `${entry.purpose} ${entry.method}`, class: 'nowrap' },
    { name: 'Tries', cell: tries, wide: true },
    { name: 'Total', cell: (entry) => `${total(entry)} ms`, class: 'number nowrap' },
    { name: 'Error', cell: (entry) => (latest(entry).error ? h('code', {}, String(latest(entry).error)) : '–') },
  ], {
    caption: 'Webhooks', compact: true, rows, key: (entry) => `webhook ${entry.at_us}`,
    detail: (entry) => (latest(entry).body ? h('pre', { class: 'body', tabindex: '0', 'aria-label': `Body of the answer to ${entry.purpose}` }, masked(latest(entry).body)) : null),
  });
}
