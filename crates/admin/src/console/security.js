// Security: unknown sources, wrong credentials, bans, dropped SIP and media, rejected calls.

import * as api from './api.js';
import { chip, h, rich, section, swap, table } from './dom.js';
import { count, duration, many, words } from './format.js';

/** Words of drops, as `trunkgate help WORD` explains them. */
const DROPS = {
  unexpected_source: 'RTP from an address that is not that of the remote party: usual for a moment behind NAT. If the trunk sends from it, add the network to its `media_from`; otherwise the packets are foreign.',
  not_rtp: 'Datagrams that are not RTP, such as ICE or DTLS: configure RTP, or SRTP with keys in SDP (SDES), at the remote party.',
  no_wire: 'A packet came before the call connected its two sides, or after it ended. Single ones are usual.',
  unknown_payload: 'The payload type was not agreed on: see calls with a codec mismatch, and `codecs` of the trunk.',
  no_destination: 'The other side has no media address yet, or is on hold.',
  not_sending: 'The session description of this side says that it sends nothing (hold).',
  send_failed: 'The operating system refused to send: firewall, no route, or a full queue.',
  no_buffer: 'All packet buffers were in use: the machine is overloaded, or a limit is too low.',
  late: 'A packet to be transcoded arrived after its turn, or twice: jitter or reordering on the path.',
  withheld: 'The media address of the remote party is not proven yet: its packets have to come from there first.',
  too_fast: 'More audio arrived than time passed: a faulty sender.',
  key_pressed: 'The audio was replaced by a DTMF digit.',
  srtp_auth: 'An SRTP packet does not authenticate: the two sides have different keys.',
  srtp_plain: 'A side that agreed to SRTP sends plain RTP or RTCP: check `srtp` of both sides.',
  srtp_replay: 'An SRTP packet arrived twice, or too late. Many are an attack or a loop.',
  srtp_streams: 'Too many streams (SSRC) under one SRTP key: a faulty sender.',
  srtp_repeated: 'A packet to be encrypted has a sequence number that was sent before: its sender repeats packets.',
  srtp_spent: 'The SRTP key has encrypted all the packets that it may.',
  damaged: 'A packet to be transcoded cannot be decoded.',
  unknown_source: 'SIP from an address of no trunk: add it to `peers` or `accept_from` if it belongs to one; otherwise it is a scanner.',
  unknown_limit: 'Unknown sources sent more SIP than `[limits]` allows.',
  banned: 'SIP from an address that is banned (`[limits] ban`).',
  not_sip: 'Datagrams that are not SIP.',
  stray_response: 'A response that belongs to no request of the edge: late, or forged.',
  stray_ack: 'An ACK that belongs to no call: late, or forged.',
  damaged_response: 'A response with a malformed part.',
  no_local_address: 'A packet arrived for an address that this machine does not have.',
  bindings_full: 'A REGISTER found no room: too many registrations of the users of the trunk.',
  subscriptions_full: 'A SUBSCRIBE found no room: too many subscriptions of the trunk, or of all.',
  udp_queue_full: 'The send queue of a UDP socket was full.',
  stream_queue_full: 'A TCP or TLS connection did not take messages fast enough.',
  unanswerable: 'A request so malformed that no response can be made.',
  full: 'The table of transactions or dialogs is full: too many calls, or an attack. Check `[limits]`.',
  queue_full: 'No room for the message to wait: the edge is overloaded.',
  repeated: 'An INVITE arrived again while the first one waited.',
  udp_unread: 'The receive buffer of a socket was full: raise net.core.rmem_max, or find what uses the CPU.',
  connection_unknown_source: 'A TCP or TLS connection from an address of no trunk was closed.',
  connection_slow: 'A connection was closed because its message took too long.',
  connection_limit: 'A connection was refused: too many are open, or too many unknown sources connect. The log names the limit.',
  connection_evicted: 'An idle connection was closed in favour of a new one.',
  connection_unregistered: 'A connection of an unknown source was closed: no phone registered on it in time.',
  connection_not_accepted: 'The system did not accept a connection: too many open files (`trunkgate doctor`, line open files).',
  tls_handshake_limit: 'A TLS handshake was refused: too many were in progress.',
  tls_handshake_failed: 'A TLS handshake failed or took too long: check TLS version, CA and certificate.',
};

/** Parts of the HTTP interface that ask for credentials. */
const FACES = { http: 'HTTP API and console ([http] token)', api: 'Twilio-compatible API' };

function numbers(caption, rows, empty) {
  return table([
    { name: 'Reason', cell: ([name]) => h('code', { class: 'slug' }, name) },
    { name: 'Meaning', cell: ([name]) => rich(DROPS[name] || `\`trunkgate help ${name}\` explains it.`), class: 'prose' },
    { name: 'Count since start', cell: ([, often]) => count(often), class: 'number' },
  ], { caption, rows: rows.filter(([, often]) => often > 0).sort((a, b) => b[1] - a[1]), empty });
}

export function securityPage(main) {
  const parts = Object.fromEntries(['head', 'closed', 'sources', 'tls', 'logins', 'banned', 'dropped', 'refused', 'media'].map((name) => [name, h('div', {})]));
  // What has nothing is named in one line, not as an empty table each.
  const all = [
    ['logins', 'Wrong credentials', 'wrong credentials (three or more of a source)'], ['banned', 'Banned addresses', 'banned addresses'], ['dropped', 'SIP dropped without a reply', 'dropped SIP'],
    ['refused', 'Calls rejected by a limit or rule', 'calls rejected by a limit or rule'], ['media', 'Media dropped', 'dropped media'],
  ].map(([name, title, what]) => ({ part: parts[name], what, node: section(title, parts[name]) }));
  for (const { node } of all) node.hidden = true;
  const none = h('p', { class: 'dim covered' });
  main.append(h('h1', {}, 'Security'), parts.head, parts.closed, parts.sources, parts.tls, ...all.map(({ node }) => node), none);
  return {
    title: 'Security',
    async refresh() {
      const [seen, families] = await Promise.all([api.get('/v1/security'), api.metrics()]);
      swap(parts.head, seen.unknown
        ? h('p', { class: 'verdict warn' }, `SIP from unknown sources: ${many(seen.unknown.messages, 'message')} in the last hour, the latest ${duration(seen.unknown.seconds_ago)} ago from ${seen.unknown.last}. They are dropped without a reply. To accept a source, add it to `, h('code', {}, 'peers'), ' or ', h('code', {}, 'accept_from'), ' of its trunk.')
        : h('p', { class: 'verdict good' }, 'No SIP from unknown sources in the last hour.'));
      swap(parts.closed, seen.closed
        ? h('p', { class: 'verdict warn' }, `TCP and TLS connections from unknown sources: ${count(seen.closed.messages)} in the last hour, the latest ${duration(seen.closed.seconds_ago)} ago from ${seen.closed.last}. They are closed.`)
        : null);
      swap(parts.sources, seen.sources.length ? table([
        { name: 'Unknown source', cell: (row) => row.source },
        { name: 'Messages', title: 'Since the source is listed', cell: (row) => count(row.messages), class: 'number' },
        { name: 'Latest', cell: (row) => `${duration(row.seconds_ago)} ago`, class: 'number' },
      ], { caption: 'Unknown sources of the last hour', rows: seen.sources, key: (row) => row.source }) : null);
      swap(parts.tls, seen.tls_failures
        ? h('p', { class: 'verdict warn' }, `TLS to listener ${seen.tls_failures.listener} fails: ${count(seen.tls_failures.handshakes)} in the last hour, the latest ${duration(seen.tls_failures.seconds_ago)} ago from ${seen.tls_failures.last}: ${seen.tls_failures.why}.`)
        : null);
      const byHttp = seen.wrong_http_credentials.map((row) => ({ ...row, trunk: FACES[row.face] || row.face, fault: 'wrong token or password', is_of_trunk: true }));
      swap(parts.logins, table([
        { name: 'Trunk or interface', cell: (row) => row.trunk },
        { name: 'Source', cell: (row) => [row.source, row.is_of_trunk ? null : h('span', { class: 'dim' }, ' (not an address of the trunk)')] },
        { name: 'Wrong', cell: (row) => row.fault },
        { name: 'Last hour', cell: (row) => count(row.requests), class: 'number' },
        { name: 'In a row', title: 'Since the source last had the right ones', cell: (row) => count(row.in_row), class: 'number' },
        { name: 'Latest', cell: (row) => `${duration(row.seconds_ago)} ago`, class: 'number' },
      ], { caption: 'Wrong credentials', rows: [...seen.wrong_credentials, ...byHttp].sort((a, b) => a.seconds_ago - b.seconds_ago), key: (row) => `${row.trunk} ${row.source}`, empty: 'No source has failed three times, by SIP or by HTTP.' }));
      swap(parts.banned, table([
        { name: 'Address', cell: (ban) => ban.address },
        { name: 'Ban ends in', cell: (ban) => duration(ban.seconds), class: 'number' },
      ], { caption: 'Banned addresses', rows: seen.banned, key: (ban) => ban.address, empty: 'No address is banned.' }),
      seen.banned_in_all > seen.banned.length ? h('p', { class: 'dim' }, `${count(seen.banned_in_all)} in total, ${count(seen.banned.length)} shown.`) : null);
      swap(parts.dropped, numbers('SIP dropped', Object.entries(seen.dropped), 'No SIP dropped.'));
      swap(parts.refused, table([
        { name: 'Trunk', cell: (row) => row.trunk || '–' },
        { name: 'Reason', cell: (row) => [chip('warn', words(row.reason)), ' ', h('code', { class: 'slug' }, row.reason)] },
        { name: 'Count since start', cell: (row) => count(row.count), class: 'number' },
      ], { caption: 'Calls rejected', rows: seen.refused, key: (row) => `${row.trunk} ${row.reason}`, empty: 'No call rejected.', open: (row) => { location.hash = `#/calls${api.query({ reason: row.reason })}`; } }));
      const dropped = (name) => (families[name] || []).map(({ labels, value }) => [labels.reason, value]);
      swap(parts.media, numbers('Media dropped', dropped('trunkgate_rtp_dropped_total'), 'No media dropped.'));
      for (const { part, node } of all) node.hidden = part.querySelector('table:not(.void)') === null;
      const nothing = all.filter(({ node }) => node.hidden).map(({ what }) => what);
      swap(none, nothing.length ? `None: ${nothing.join(', ')}.` : '');
    },
  };
}
