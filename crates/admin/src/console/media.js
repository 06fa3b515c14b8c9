// Media map: what each side announced, where its packets come from, where ours go, and how many.

import { chip, h } from './dom.js';
import { count, figure, talked, words } from './format.js';

/** A side without a packet for longer than this is silent. */
const SILENT_SECONDS = 5;

/** Whether a leg has media: packets, addresses, or, of an answered call, an agreed codec without a single packet. */
function isLive(call, leg) {
  return leg.rtp.rx_packets > 0 || leg.rtp.tx_packets > 0 || leg.media || (call.answered_at && leg.codec !== '' && leg.kind !== 'agent');
}

/** One direction; `fault`: what is wrong with it, in a word. */
function way(kind, title, packets, facts, fault) {
  return h('div', { class: `way ${fault ? 'bad' : kind}` },
    h('div', { class: 'title' }, h('span', {}, title), h('strong', {}, `${count(packets)} packets`), fault ? chip('bad', `✗ ${fault}`) : null),
    h('div', { class: 'facts' }, facts.filter(Boolean).join(' · ')));
}

function place(name, value, kind) {
  return [h('dt', {}, name), h('dd', { class: kind }, value || '–')];
}

function card(call, leg) {
  const seconds = talked(call);
  const rtp = leg.rtp;
  const isAgent = leg.kind === 'agent';
  const isSilent = (packets) => packets === 0 && seconds !== null && seconds > SILENT_SECONDS && leg.codec !== '';
  const media = leg.media || {};
  const elsewhere = rtp.latched && media.announced && rtp.latched !== media.announced;
  return h('article', { class: 'card' },
    h('h3', {}, leg.trunk || leg.agent || leg.remote || 'remote party',
      h('span', { class: 'dim' }, ` ${isAgent ? 'agent' : leg.direction}, ${leg.transport}`)),
    h('p', { class: 'tags' }, leg.codec ? chip('plain', leg.codec) : null,
      leg.converted_to ? chip('plain', `→ ${leg.converted_to}`, 'Its audio is transcoded') : null,
      leg.srtp ? chip('good', `SRTP ${leg.srtp}`) : isAgent ? null : chip('plain', 'plain RTP'),
      leg.reason ? chip('plain', words(leg.reason)) : chip('plain', leg.state)),
    // A listener sends no audio.
    isAgent && rtp.rx_packets === 0 && call.flags.includes('listened') ? null : way('in', 'received', rtp.rx_packets, [
      `lost ${count(rtp.lost)}`, losses(rtp), isAgent ? null : `jitter ${figure(rtp.jitter_ms, 1, ' ms')}`, rtp.mos ? `MOS ${figure(rtp.mos, 2)}` : null,
      rtp.rtt_ms ? `round trip ${figure(rtp.rtt_ms, 0, ' ms')}` : null], isSilent(rtp.rx_packets) ? 'silent' : lossy(rtp.lost, rtp.lost + rtp.rx_packets, rtp.mos)),
    // The silent party is the other one and is marked there.
    way('out', 'sent', rtp.tx_packets, [
      rtp.tx_refused ? `${count(rtp.tx_refused)} not sent (refused by this machine)` : isSilent(rtp.tx_packets) ? 'no audio from the other party' : null,
      rtp.far ? `lost ${count(rtp.far.lost)}` : null, rtp.far ? `jitter ${figure(rtp.far.jitter_ms, 1, ' ms')}` : null,
      rtp.far && rtp.far.mos ? `MOS ${figure(rtp.far.mos, 2)}` : null,
      rtp.far ? 'reported by RTCP' : isAgent ? null : 'no RTCP received'], rtp.far ? lossy(rtp.far.lost, rtp.tx_packets, rtp.far.mos) : null),
    isAgent ? null : h('dl', { class: 'addresses' },
      place('SDP address', media.announced), place('RTP source', rtp.latched || 'no packets', elsewhere ? 'warn' : rtp.latched ? null : 'bad'),
      place('sending to', media.used), place('local address', media.ours)));
}

/** The share that was lost, if users hear it: a MOS below 3.6, or without a score a tenth. */
function lossy(lost, all, mos) {
  const isBad = lost > 0 && (isFinite(mos ?? NaN) ? mos < 3.6 : lost * 10 >= all);
  return isBad ? `${figure((100 * lost) / all, 0)} % lost` : null;
}

/** Lengths of loss bursts, each with its count. */
function losses(rtp) {
  const runs = rtp.lost_in_a_row.map((times, at) => (times > 0 ? `${at + 1}${at === 9 ? '+' : ''} ×${count(times)}` : null)).filter(Boolean);
  return runs.length > 0 ? `bursts ${runs.join(', ')}` : null;
}

/** The media map. */
export function mediaMap(call) {
  const legs = call.legs.filter((leg) => isLive(call, leg));
  if (legs.length === 0) return h('p', { class: 'empty' }, 'No media session was negotiated.');
  return h('div', { class: 'cards media' }, legs.map((leg) => card(call, leg)));
}
