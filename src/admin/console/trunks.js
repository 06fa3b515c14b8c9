// Trunks: state, addresses, registrations and call statistics.

import * as api from './api.js';
import { chip, h, swap, table } from './dom.js';
import { ago, count, figure, kind, time } from './format.js';

function addresses(trunk) {
  const rows = trunk.peers.flatMap((peer) => (peer.addresses.length ? peer.addresses : [{ state: peer.state }]).map((address) => ({ uri: peer.uri, ...address })));
  return table([
    { name: 'Peer', cell: (row) => h('code', {}, row.uri) },
    { name: 'Address', cell: (row) => (row.address ? `${row.transport} ${row.address}` : 'not resolved yet') },
    { name: 'State', cell: (row) => chip(kind(row.state), row.state) },
    { name: 'Round trip', cell: (row) => figure(row.rtt_ms, 1, ' ms'), class: 'number' },
    { name: 'Last OPTIONS', cell: (row) => (row.last_options ? h('span', { title: row.last_options }, ago(row.last_options)) : '–') },
    { name: 'Consecutive failures', cell: (row) => count(row.failures), class: 'number' },
    { name: 'Last problem', cell: (row) => [row.last_problem || '–', row.rests_seconds ? `, Retry-After ${row.rests_seconds} s` : ''] },
  ], { caption: `Peers of ${trunk.name}`, rows, empty: trunk.phones ? 'None configured: phones register here.' : 'None.' });
}

function card(trunk) {
  const ratio = trunk.answered_ratio;
  return h('article', { class: 'card wide', id: `trunk-${trunk.name}` },
    h('h2', {}, `${trunk.name} `, chip(kind(trunk.state), trunk.state)),
    h('dl', { class: 'facts' }, [
      ['Calls', `${count(trunk.calls)}${trunk.max_calls ? ` of ${trunk.max_calls}` : ''}`], ['Calls/s', count(trunk.cps)],
      ['Answer rate (ASR), calls to the trunk', ratio === null ? '–' : `${figure(ratio * 100, 0)} %`], ['Failed calls', count(trunk.failures)],
      ['Last problem', trunk.last_problem ? `${trunk.last_problem} (${ago(trunk.last_problem_at)})` : 'none'],
    ].map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))),
    trunk.registration ? h('p', {}, 'Registration with ', h('code', {}, trunk.registration.registrar), ': ', chip(kind(trunk.registration.state), trunk.registration.state),
      trunk.registration.expires_at ? ` until ${time(trunk.registration.expires_at)}` : '', trunk.registration.last_problem ? `: ${trunk.registration.last_problem}` : '') : null,
    addresses(trunk),
    trunk.phones ? table([
      { name: 'Phone', cell: (phone) => `${phone.transport} ${phone.address}` },
      { name: 'Registered until', cell: (phone) => time(phone.expires_at) },
    ], { caption: `Phones of ${trunk.name}`, rows: trunk.phones, empty: 'No phone is registered.' }) : null,
    h('p', {}, h('a', { href: `#/calls${api.query({ trunk: trunk.name })}` }, 'All calls'), ' · ', h('a', { href: `#/calls${api.query({ trunk: trunk.name, outcome: 'failed' })}` }, 'failed calls'),
      ' · ', h('a', { href: `#/calls${api.query({ trunk: trunk.name, flag: 'one_way' })}` }, 'calls with one-way audio')));
}

export function trunksPage(main) {
  const list = h('div', { class: 'stack' });
  main.append(h('h1', {}, 'Trunks'), list);
  return {
    title: 'Trunks',
    async refresh() {
      const { trunks } = await api.get('/v1/trunks');
      swap(list, trunks.length ? trunks.map(card) : h('p', { class: 'empty' }, 'No trunks are configured.'));
    },
  };
}
