// Security: unknown sources, wrong credentials, bans, dropped SIP and media, rejected calls.

import * as api from './api.js';
import { chip, h, section, swap, table } from './dom.js';
import { count, duration, words } from './format.js';

function numbers(caption, rows, empty) {
  return table([
    { name: 'Reason', cell: ([name]) => [h('code', {}, name), ' ', words(name)] },
    { name: 'Count since start', cell: ([, many]) => count(many), class: 'number' },
  ], { caption, rows: rows.filter(([, many]) => many > 0).sort((a, b) => b[1] - a[1]), empty });
}

export function securityPage(main) {
  const parts = Object.fromEntries(['head', 'tls', 'logins', 'banned', 'dropped', 'refused', 'media'].map((name) => [name, h('div', {})]));
  main.append(h('h1', {}, 'Security'), parts.head, parts.tls, section('Wrong credentials', parts.logins), section('Banned addresses', parts.banned), section('SIP dropped without a reply', parts.dropped),
    section('Calls rejected by a limit or rule', parts.refused), section('Media dropped', parts.media));
  return {
    title: 'Security',
    async refresh() {
      const [seen, families] = await Promise.all([api.get('/v1/security'), api.metrics()]);
      swap(parts.head, seen.unknown
        ? h('p', { class: 'verdict warn' }, `SIP from unknown sources: ${count(seen.unknown.messages)} messages in the last hour, the latest ${seen.unknown.seconds_ago} s ago from ${seen.unknown.last}. They are dropped without a reply. To accept a source, add it to `, h('code', {}, 'peers'), ' or ', h('code', {}, 'accept_from'), ' of its trunk.')
        : h('p', { class: 'verdict good' }, 'No SIP from unknown sources in the last hour.'));
      swap(parts.tls, seen.tls_failures
        ? h('p', { class: 'verdict warn' }, `TLS to listener ${seen.tls_failures.listener} fails: ${count(seen.tls_failures.handshakes)} in the last hour, the latest ${seen.tls_failures.seconds_ago} s ago from ${seen.tls_failures.last}: ${seen.tls_failures.why}.`)
        : null);
      swap(parts.logins, table([
        { name: 'Trunk', cell: (row) => row.trunk },
        { name: 'Source', cell: (row) => [row.source, row.is_of_trunk ? null : h('span', { class: 'dim' }, ' (not an address of the trunk)')] },
        { name: 'Wrong', cell: (row) => row.fault },
        { name: 'Last hour', cell: (row) => count(row.requests), class: 'number' },
        { name: 'In a row', cell: (row) => count(row.in_row), class: 'number' },
        { name: 'Latest', cell: (row) => `${duration(row.seconds_ago)} ago`, class: 'number' },
      ], { caption: 'Wrong credentials', rows: seen.wrong_credentials, key: (row) => `${row.trunk} ${row.source}`, empty: 'No source has failed three times in a row.' }));
      swap(parts.banned, table([
        { name: 'Address', cell: (ban) => ban.address },
        { name: 'Ban ends in', cell: (ban) => duration(ban.seconds), class: 'number' },
      ], { caption: 'Banned addresses', rows: seen.banned, key: (ban) => ban.address, empty: 'No address is banned.' }),
      seen.banned_in_all > seen.banned.length ? h('p', { class: 'dim' }, `${count(seen.banned_in_all)} in total, ${count(seen.banned.length)} shown.`) : null);
      swap(parts.dropped, numbers('SIP dropped', Object.entries(seen.dropped), 'No SIP dropped.'));
      swap(parts.refused, table([
        { name: 'Trunk', cell: (row) => row.trunk || '–' },
        { name: 'Reason', cell: (row) => chip('warn', row.reason) },
        { name: 'Count since start', cell: (row) => count(row.count), class: 'number' },
      ], { caption: 'Calls rejected', rows: seen.refused, key: (row) => `${row.trunk} ${row.reason}`, empty: 'No call rejected.', open: (row) => { location.hash = `#/calls${api.query({ reason: row.reason })}`; } }));
      const dropped = (name) => (families[name] || []).map(({ labels, value }) => [labels.reason, value]);
      swap(parts.media, numbers('Media dropped', [...dropped('trunkgate_rtp_dropped_total'), ...dropped('trunkgate_srtp_errors_total').map(([name, many]) => [`srtp ${name}`, many])], 'No media dropped.'));
    },
  };
}
