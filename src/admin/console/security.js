// Security: who knocks and is not let in.

import * as api from './api.js';
import { chip, h, section, swap, table } from './dom.js';
import { count, duration, words } from './format.js';

function numbers(caption, rows, empty) {
  return table([
    { name: 'Why', cell: ([name]) => [h('code', {}, name), ' ', words(name)] },
    { name: 'Since the start', cell: ([, many]) => count(many), class: 'number' },
  ], { caption, rows: rows.filter(([, many]) => many > 0).sort((a, b) => b[1] - a[1]), empty });
}

export function securityPage(main) {
  const parts = Object.fromEntries(['head', 'banned', 'dropped', 'refused', 'media'].map((name) => [name, h('div', {})]));
  main.append(h('h1', {}, 'Security'), parts.head, section('Banned addresses', parts.banned), section('SIP dropped without a reply', parts.dropped),
    section('Calls rejected by a limit or rule', parts.refused), section('Media dropped', parts.media));
  return {
    title: 'Security',
    async refresh() {
      const [seen, families] = await Promise.all([api.get('/v1/security'), api.metrics()]);
      swap(parts.head, seen.unknown
        ? h('p', { class: 'verdict warn' }, `SIP from unknown sources: ${count(seen.unknown.messages)} messages since the start, the latest from ${seen.unknown.last} ${seen.unknown.seconds_ago} s ago. They are dropped without a reply. To accept a source, add it to `, h('code', {}, 'peers'), ' or ', h('code', {}, 'accept_from'), ' of a trunk.')
        : h('p', { class: 'verdict good' }, 'No SIP from unknown sources in the last minute.'));
      swap(parts.banned, table([
        { name: 'Address', cell: (ban) => ban.address },
        { name: 'Ban ends in', cell: (ban) => duration(ban.seconds), class: 'number' },
      ], { caption: 'Banned addresses', rows: seen.banned, key: (ban) => ban.address, empty: 'None.' }),
      seen.banned_in_all > seen.banned.length ? h('p', { class: 'dim' }, `${count(seen.banned_in_all)} in all.`) : null);
      swap(parts.dropped, numbers('SIP dropped', Object.entries(seen.dropped), 'None dropped.'));
      swap(parts.refused, table([
        { name: 'Trunk', cell: (row) => row.trunk || '–' },
        { name: 'Reason', cell: (row) => chip('warn', row.reason) },
        { name: 'Since the start', cell: (row) => count(row.count), class: 'number' },
      ], { caption: 'Calls refused', rows: seen.refused, key: (row) => `${row.trunk} ${row.reason}`, empty: 'None.', open: (row) => { location.hash = `#/calls${api.query({ reason: row.reason })}`; } }));
      const dropped = (name) => (families[name] || []).map(({ labels, value }) => [labels.reason, value]);
      swap(parts.media, numbers('Media dropped', [...dropped('trunkgate_rtp_dropped_total'), ...dropped('trunkgate_srtp_errors_total').map(([name, many]) => [`srtp ${name}`, many])], 'None dropped.'));
    },
  };
}
