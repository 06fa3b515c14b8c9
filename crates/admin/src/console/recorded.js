// The pages of recordings and of voicemail: what is recorded, the newest first, each with its player and a button that deletes it.

import * as api from './api.js';
import { chip, confirmed, facts, h, moment, say, swap, table } from './dom.js';
import { count, duration, figure, many, number, words } from './format.js';
import { KINDS, plays, recordingAlone, size } from './recordings.js';

/** Recordings that are listed at first, and that each *Show more* adds. */
const ROWS = 50;
/** Most that the edge lists at once. */
const MOST = 1000;

/** Sends a request of a button, says what came of it, and shows the page again. */
async function act(request, done, again) {
  try {
    await request();
    say(done);
  } catch (error) {
    say(error.message, true);
  }
  await again();
}

/** A button that deletes a recording, after a question. */
function deletion(one, name, again) {
  const click = async () => {
    if (!await confirmed(`Delete ${name}?`, 'Its audio and its transcriptions are deleted for good; the entry of the list stays for 40 days.', 'Delete')) return;
    await act(() => api.remove(`/v1/recordings/${encodeURIComponent(one.sid)}`), `${name} is deleted.`, again);
  };
  return h('button', { type: 'button', class: 'danger', key: `delete ${one.sid}`, back: `open ${one.sid}`, sends: true, 'aria-label': `Delete ${name}`, on: { click } }, 'Delete');
}

const lost = (one) => (one.gaps > 0 ? chip('bad', `${many(one.gaps, 'gap')}, ${figure(one.lost_ms / 1000, 2, ' s')} lost`) : null);

/** The texts of a message. */
function texts(one) {
  return (one.transcriptions || []).map((text) => h('p', {}, h('strong', {}, 'Text: '), text.text ?? words(text.state), text.error ? [' ', h('span', { class: 'bad' }, text.error)] : ''));
}

/**
 * A list of recordings whose rows open. `columns` after the first one, `name(one)`: what a row is called, `actions(one)`: further
 * buttons. What is played stays as it is.
 */
function list(caption, columns, { name, actions = () => [], again, empty }) {
  const node = h('div', {});
  const open = new Set();
  /** Details by SID, each for the recording as it was drawn. */
  const details = new Map();
  let rows = [];
  async function fill(one) {
    const print = JSON.stringify(one);
    if (details.get(one.sid)?.print === print) return;
    const whole = one.voicemail ? await api.get(`/v1/recordings/${encodeURIComponent(one.sid)}`).catch(() => one) : one;
    const known = [
      ['SID', h('code', { class: 'long' }, one.sid)], one.conference_sid ? ['Conference', h('code', { class: 'long' }, one.conference_sid)] : null,
      ['Format', `${one.format}, ${one.channels === 2 ? 'two channels' : 'one channel'}${one.encrypted ? ', encrypted' : ''}`],
      one.sha256 ? ['SHA-256', h('code', { class: 'long' }, one.sha256)] : null,
    ].filter(Boolean);
    const deletes = ['deleted', 'in-progress'].includes(one.state) ? null : deletion(one, name(one), again);
    const body = h('div', { class: 'details' }, facts(known), one.error ? h('p', { class: 'bad' }, one.error) : null, recordingAlone(one, name(one)), texts(whole),
      h('p', { class: 'buttons left' }, actions(one), deletes));
    details.set(one.sid, { print, body });
  }
  async function toggle(one) {
    if (!open.delete(one.sid)) {
      open.add(one.sid);
      await fill(one);
    }
    draw();
  }
  const first = {
    name: 'Recorded', wide: true,
    cell: (one) => h('button', { type: 'button', class: 'expand', key: `open ${one.sid}`, 'aria-expanded': String(open.has(one.sid)), on: { click: () => toggle(one) } },
      h('span', { 'aria-hidden': 'true', class: 'sign' }, open.has(one.sid) ? '▾' : '▸'), moment(one.started_at)),
  };
  function draw() {
    swap(node, table([first, ...columns], {
      caption, rows, key: (one) => one.sid, open: toggle, isWhole: true, compact: true, stats: true, empty,
      detail: (one) => (open.has(one.sid) ? details.get(one.sid)?.body ?? null : null),
    }));
  }
  return {
    node,
    async show(next) {
      if (plays(node)) return;
      rows = next;
      for (const one of rows.filter(({ sid }) => open.has(sid))) await fill(one);
      if (!plays(node)) draw();
    },
  };
}

const state = { name: 'State', cell: (one) => [chip(KINDS[one.state] || 'plain', words(one.state)), ' ', lost(one)], class: 'head' };
const lasted = { name: 'Duration', cell: (one) => duration(one.duration_ms / 1000), class: 'number' };
const stored = { name: 'Size', cell: (one) => (one.bytes ? size(one.bytes) : '–'), class: 'number' };
const callOf = { name: 'Call', cell: (one) => h('a', { href: `#/calls/${encodeURIComponent(one.call_sid)}` }, one.call_sid.slice(0, 10)) };

/** The recordings in the index, the newest first; `call` and `voicemail` of the address are filters. */
export function recordingsPage(main, query, kept, again) {
  const filters = { call: query.get('call'), voicemail: query.get('voicemail') };
  let shown = kept?.shown ?? ROWS;
  const head = h('p', { class: 'total', role: 'status' });
  const more = h('button', { type: 'button', class: 'more', hidden: true, key: 'more recordings', on: { click: () => { shown = Math.min(MOST, shown + ROWS); again(); } } }, 'Show more');
  const all = list('Recordings', [
    callOf,
    { name: 'Source', cell: (one) => (one.voicemail ? h('a', { href: `#/voicemail${api.query({ mailbox: one.voicemail })}` }, `voicemail ${one.voicemail}`) : words(one.source)) },
    state, lasted, stored,
  ], {
    name: (one) => `recording ${one.sid.slice(0, 10)}`, again,
    empty: filters.call || filters.voicemail ? 'No recording matches.' : ['No recordings. A route with ', h('code', {}, 'record = true'), ' makes some, once the file has ', h('code', {}, '[recording]'), '.'],
  });
  async function refresh() {
    const { recordings } = await api.get(`/v1/recordings${api.query({ ...filters, limit: shown })}`);
    const line = recordings.length < shown ? `${many(recordings.length, 'recording')}.` : `The newest ${count(recordings.length)}.`;
    if (head.textContent !== line) swap(head, line);
    more.hidden = recordings.length < shown || shown >= MOST;
    await all.show(recordings);
  }
  main.append(h('h1', {}, 'Recordings'), head, all.node, more);
  return { title: 'Recordings', refresh, keep: () => ({ shown }) };
}

/** The mailboxes with their messages; `mailbox` of the address is the one that is shown. */
export function voicemailPage(main, query, kept, again) {
  const boxes = h('div', {});
  const title = h('h2', {});
  const all = h('button', { type: 'button', class: 'quiet', hidden: true, key: 'heard all', sends: true }, 'Mark all as heard');
  let mailbox = query.get('mailbox');
  const path = (sid) => `/v1/voicemail/${encodeURIComponent(mailbox)}/heard${api.query({ sid })}`;
  const heard = (one) => (one.heard_at || one.state !== 'completed' ? [] : [h('button', {
    type: 'button', class: 'quiet', key: `heard ${one.sid}`, back: `open ${one.sid}`, sends: true,
    on: { click: () => act(() => api.post(path(one.sid)), 'The message is marked as heard.', again) },
  }, 'Mark as heard'), ' ']);
  const messages = list('Messages', [
    { name: 'From', cell: (one) => number(one.from) }, { name: 'To', cell: (one) => number(one.to) },
    { name: 'Heard', cell: (one) => (one.heard_at ? moment(one.heard_at) : chip('good', 'new')) },
    callOf, state, lasted,
  ], { name: (one) => `the message of ${number(one.from)}`, actions: heard, again, empty: 'No messages.' });
  all.addEventListener('click', () => act(() => api.post(path(null)), `All messages of ${mailbox} are marked as heard.`, again));
  async function refresh() {
    const { mailboxes } = await api.get('/v1/voicemail');
    mailbox ??= (mailboxes.find((one) => one.new > 0) ?? mailboxes[0])?.name ?? null;
    swap(boxes, table([
      { name: 'Mailbox', cell: (one) => h('a', { href: `#/voicemail${api.query({ mailbox: one.name })}`, 'aria-current': one.name === mailbox ? 'true' : null }, h('strong', {}, one.name)) },
      { name: 'New', cell: (one) => (one.new ? chip('good', count(one.new)) : count(0)), class: 'number' },
      { name: 'Heard', cell: (one) => count(one.heard), class: 'number' },
    ], { caption: 'Mailboxes', rows: mailboxes, key: (one) => one.name, compact: true, stats: true, empty: ['No mailboxes. ', h('code', {}, '[voicemail.NAME]'), ' makes one.'] }));
    const shown = mailboxes.find((one) => one.name === mailbox);
    title.hidden = !mailbox;
    if (mailbox && title.textContent !== `Messages of ${mailbox}`) swap(title, `Messages of ${mailbox}`);
    all.hidden = !shown?.new;
    messages.node.hidden = !mailbox;
    if (mailbox) await messages.show((await api.get(`/v1/recordings${api.query({ voicemail: mailbox, limit: MOST })}`)).recordings.filter((one) => one.state !== 'deleted'));
  }
  main.append(h('h1', {}, 'Voicemail'), boxes, title, all, messages.node);
  return { title: 'Voicemail', refresh };
}
