// Conferences: one row each, with its parties and what may be done with them below the row.

import * as api from './api.js';
import { chip, confirmed, facts, h, moment, say, swap, table } from './dom.js';
import { count, duration, masked, time } from './format.js';
import { listing } from './listing.js';
import { queues } from './queues.js';

const STATES = { init: ['', 'waiting'], 'in-progress': ['good', 'in progress'], completed: ['', 'ended'] };

/** Why a conference has ended, in words. */
const ENDS = {
  'last-participant-left': 'the last party left',
  'last-participant-kicked': 'the last party was removed',
  'participant-with-end-conference-on-exit-left': 'the party that ends it left (endConferenceOnExit)',
  'participant-with-end-conference-on-exit-kicked': 'the party that ends it was removed (endConferenceOnExit)',
  'conference-ended-via-api': 'ended by an operator or the API',
};

/** The end of a conference: the words, with the reason of the API as a tooltip. */
const ending = ({ end_reason: reason }) => (reason ? h('span', { title: reason }, ENDS[reason] || reason) : '–');

/** Its calls, those of parties that have left too. */
const calls = (conference) => h('a', { href: `#/calls${api.query({ search: conference.sid })}` }, 'Calls of this conference');

/** Seconds that a conference has lasted. */
function lasted(conference) {
  const until = conference.ended_at ? Date.parse(conference.ended_at) : Date.now();
  return Math.max(0, (until - Date.parse(conference.began_at)) / 1000);
}

/** Whether one of the parties speaks. */
const talks = (conference) => conference.parties.filter((party) => party.talking).length;

/** Sends a request of a button, says what came of it, and shows the conferences again. */
function act(path, done, again) {
  return async () => {
    try {
      await api.post(path);
      say(done);
    } catch (error) {
      say(error.message, true);
    }
    await again();
  };
}

function marks(party) {
  return [
    party.talking ? chip('good', 'talking') : '', party.muted ? chip('warn', 'muted') : '', party.held ? chip('warn', 'on hold') : '',
    party.coaches ? chip('', 'coach', `heard by ${party.coaches} alone`) : '',
  ];
}

/** The buttons of a party. */
function buttons(conference, party, again) {
  const path = (action) => `/v1/conferences/${conference.sid}/parties/${party.call}/${action}`;
  const nameOf = (one) => one.label || masked(one.from) || one.call;
  // Two parties may have one name: then the time at which each joined tells them apart.
  const isAlone = conference.parties.filter((one) => nameOf(one) === nameOf(party)).length < 2;
  const name = isAlone ? nameOf(party) : `${nameOf(party)} (joined ${time(party.joined_at)})`;
  // The key is that of the pair, so that the focus stays where *Mute* becomes *Unmute*.
  const button = (pair, action, text, done) => h('button', { type: 'button', class: 'quiet', key: `${pair} ${party.call}`, back: `open ${conference.sid}`, sends: true, 'aria-label': `${text} ${name}`, on: { click: act(path(action), done, again) } }, text);
  const remove = async () => {
    if (!await confirmed(`Remove ${name}?`, 'The party leaves the conference; its call goes on with what its document has behind it, or is hung up.', 'Remove')) return;
    await act(path('remove'), `${name} is removed.`, again)();
  };
  return [
    party.muted ? button('mute', 'unmute', 'Unmute', `${name} is unmuted.`) : button('mute', 'mute', 'Mute', `${name} is muted.`), ' ',
    party.held ? button('hold', 'resume', 'Resume', `${name} is off hold.`) : button('hold', 'hold', 'Hold', `${name} is on hold.`), ' ',
    h('button', { type: 'button', class: 'danger', key: `remove ${party.call}`, back: `open ${conference.sid}`, sends: true, 'aria-label': `Remove ${name}`, on: { click: remove } }, 'Remove'),
  ];
}

function detail(conference, again) {
  const end = async () => {
    if (!await confirmed('End the conference?', 'All parties leave; each call goes on with what its document has behind the conference, or is hung up.', 'End')) return;
    await act(`/v1/conferences/${conference.sid}/end`, 'The conference has ended.', again)();
  };
  const goesOn = conference.status !== 'completed';
  return h('div', { class: 'details' },
    facts([
      ['SID', h('code', { class: 'long' }, conference.sid)], ['Began', moment(conference.began_at)], goesOn ? null : ['Ended', [moment(conference.ended_at), ': ', ending(conference)]],
      conference.recordings.length ? ['Recorded', conference.recordings.map((one) => [h('code', { class: 'long' }, one.sid), one.paused ? ' paused ' : ' '])] : null,
    ].filter(Boolean)),
    h('p', {}, calls(conference)),
    goesOn ? [table([
      { name: 'Party', cell: (party) => h('a', { href: `#/calls/${party.call}` }, party.label || masked(party.from) || party.call) },
      { name: 'Called', cell: (party) => masked(party.to) },
      { name: 'State', cell: marks },
      { name: 'Joined', cell: (party) => moment(party.joined_at) },
      { name: 'Actions', cell: (party) => buttons(conference, party, again), class: 'nowrap' },
    ], { caption: `Parties of ${conference.name}`, rows: conference.parties, key: (party) => party.call, empty: 'No party.' }),
    h('p', {}, h('button', { type: 'button', class: 'danger', key: `end ${conference.sid}`, back: `open ${conference.sid}`, sends: true, 'aria-label': `End conference ${conference.name}`, on: { click: end } }, 'End conference'))] : null);
}

function columns() {
  return [
    { name: 'Conference', cell: (one) => h('strong', {}, one.name), sort: (one) => one.name },
    { name: 'State', cell: (one) => [chip(...STATES[one.status]), one.recordings.length ? [' ', chip('', 'recorded')] : ''], sort: (one) => ({ 'in-progress': 0, init: 1, completed: 2 })[one.status], class: 'head' },
    { name: 'Parties', cell: (one) => (one.status === 'completed' ? '–' : count(one.parties.length)), sort: (one) => one.parties.length, down: true, class: 'number' },
    { name: 'Talking', cell: (one) => (one.status === 'completed' ? '–' : count(talks(one))), sort: talks, down: true, class: 'number' },
    { name: 'Duration', cell: (one) => duration(lasted(one)), sort: lasted, down: true, class: 'number' },
    { name: 'Began', cell: (one) => moment(one.began_at), sort: (one) => Date.parse(one.began_at), down: true, wide: true },
    { name: 'End', cell: ending, wide: true },
  ];
}

export function conferencesPage(main, query, kept, again) {
  const list = listing(columns(), {
    page: 'conferences', query, first: 'State', caption: 'Conferences', name: 'conference', key: (one) => one.sid, detail: (one) => detail(one, again),
    empty: ['No conferences. A route with ', h('code', {}, 'connect = ["conference:NAME"]'), ' or ', h('code', {}, '<Dial><Conference>'), ' begins one.'], mark: () => '',
  });
  const head = h('p', { class: 'total', role: 'status' });
  const waiting = queues();
  async function refresh() {
    const { conferences } = await api.get('/v1/conferences');
    const live = conferences.filter((one) => one.status !== 'completed');
    const parties = live.reduce((sum, one) => sum + one.parties.length, 0);
    const line = `${count(live.length)} live, ${count(parties)} ${parties === 1 ? 'party' : 'parties'}; ${count(conferences.length - live.length)} ended.`;
    // A screen reader speaks at every change of a live region.
    if (head.textContent !== line) swap(head, line);
    head.hidden = conferences.length === 0;
    list.show(conferences);
    await waiting.refresh();
  }
  main.append(h('h1', {}, 'Conferences'), head, list.node, waiting.node);
  return { title: 'Conferences', mistakes: list.mistakes, refresh };
}
