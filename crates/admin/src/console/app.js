// The console's frame: pages by the fragment of the URL, keyboard shortcuts, theme, token and the connection to the edge.

import * as api from './api.js';
import { allowSending, focusPage, h, rich, say } from './dom.js';
import { maskNumbers, numbersAreMasked, time, zone } from './format.js';
import { mistake } from './listing.js';
import { overviewPage } from './overview.js';
import { callsPage } from './calls.js';
import { callPage } from './call.js';
import { trunksPage } from './trunks.js';
import { routesPage } from './routes.js';
import { agentsPage } from './agents.js';
import { conferencesPage } from './conferences.js';
import { recordingsPage, voicemailPage } from './recorded.js';
import { requestsPage } from './requests.js';
import { securityPage } from './security.js';
import { systemPage } from './system.js';

/** Pages in menu order: address, title, page, and the key that opens it. */
const PAGES = [
  ['overview', 'Overview', overviewPage, '1'], ['calls', 'Calls', callsPage, '2'], ['trunks', 'Trunks', trunksPage, '3'], ['routes', 'Routes', routesPage, '4'],
  ['agents', 'Agents', agentsPage, '5'], ['conferences', 'Conferences', conferencesPage, '6'], ['recordings', 'Recordings', recordingsPage, 'r'], ['voicemail', 'Voicemail', voicemailPage, 'v'],
  ['api', 'API', requestsPage, '7'], ['security', 'Security', securityPage, '8'], ['system', 'System', systemPage, '9'],
];
/** Parameters of the addresses of pages; Calls knows its own. */
const PARAMETERS = {
  trunks: ['filter', 'state', 'by', 'down', 'trunk'], routes: ['from', 'called', 'caller', 'at'], agents: ['by', 'down', 'agent'], conferences: ['by', 'down', 'conference'],
  recordings: ['call', 'voicemail'], voicemail: ['mailbox'],
};
const KEYS = [
  ['1 … 9  r  v', 'open a page: the menu names its key'], ['/', 'search calls: number, sid, Call-ID'], ['j  k', 'next and previous row'],
  ['Enter', 'open the row, or its details'], ['h  Esc', 'back; Esc closes a message first'], ['m', 'mask or unmask numbers'], ['t', 'light or dark theme'], ['?', 'show this list'],
];
/** How often a page refreshes while no events come, and while they do. */
const ALONE_MS = 3000;
const LIVE_MS = 10_000;
/** Bursts of events cause one refresh. */
const CROWD_MS = 700;

const main = document.getElementById('main');
let page = null;
/** The page that has been filled by an answer of the edge. */
let filled = null;
let asking = false;
let again = false;
let soon = null;
/** Key of the chosen row. */
let row = null;
/** What is kept of the pages that were left, by the number of their entry in the browser's history. */
const left = new Map();
/** Entries of the history that are kept. */
const KEPT_PAGES = 20;
/** Number of the open entry, and the place to scroll to once its page is filled. */
let entry = 0;
let place = null;
/** What had the focus as the open page was left, by its key and its row. */
let focus = null;
/** Whether the user went to the page, and its focus is not set yet. */
let isMoved = false;
/** Address of the page before. */
let cameFrom = '';

/** Decodes a part of the fragment; returns it unchanged if it is not a valid escape. */
function plain(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function address() {
  const [path, search] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, ...rest] = path.split('/').map(plain);
  return { name: name || 'overview', rest, query: new URLSearchParams(search || '') };
}

/** Titles the tab: the page, then the edge. */
function entitle() {
  const title = [page.title, document.getElementById('edge').textContent, 'Trunkgate'].filter(Boolean).join(' · ');
  if (document.title !== title) document.title = title;
}

/** Shows the name of the edge on every page. */
async function nameEdge() {
  const said = document.getElementById('edge');
  document.getElementById('zone').textContent = zone();
  if (said.textContent) return;
  const { edge } = await api.get('/v1/status');
  said.textContent = edge;
  said.title = edge;
}

/** Says above the page that what it shows is old, or that it has nothing to show, until the edge answers again. */
function unanswered() {
  const shown = filled === page ? ' This page shows what was known then.' : ' This page was opened after that: it has nothing to show yet.';
  main.classList.toggle('blank', filled !== page);
  main.classList.toggle('stale', filled === page);
  // What is good may be so no longer.
  for (const good of main.querySelectorAll('.health.good, .verdict.good')) if (!good.querySelector('.known')) good.prepend(h('span', { class: 'known' }, 'Last known: '));
  allowSending(main);
  const lost = document.getElementById('lost');
  if (lost) {
    lost.querySelector('.shown').textContent = shown;
    return;
  }
  const since = new Date(api.heardAt).toISOString();
  main.before(h('p', { id: 'lost', class: 'verdict bad', role: 'alert' }, h('strong', {}, 'The edge does not answer'), ' since ', h('time', { datetime: since }, time(since)), '.', h('span', { class: 'shown' }, shown),
    ' Try: check that the process runs (', h('code', {}, 'trunkgate status'), ' on its machine) and that the network reaches it.'));
}

/** Shows on the page why the edge rejects its request: a filter in its address, most often. */
function refused(why) {
  document.getElementById('refused')?.remove();
  const [path] = location.hash.split('?');
  main.prepend(h('p', { id: 'refused', class: 'verdict bad', role: 'alert' }, h('strong', {}, 'The edge rejects the request of this page'), ': ', rich(why), '. ',
    location.hash.includes('?') ? ['Change the filter, or ', h('a', { href: path }, 'open the page without it'), '.'] : ''));
}

function answered() {
  main.classList.remove('blank');
  document.getElementById('refused')?.remove();
  const lost = document.getElementById('lost');
  if (!lost) return;
  lost.remove();
  allowSending(main);
  main.querySelectorAll('.known').forEach((one) => one.remove());
  api.reconnect();
  const link = document.getElementById('link');
  link.textContent = api.isLive ? 'live' : 'polling';
  link.className = `link ${api.isLive ? 'good' : 'warn'}`;
}

/** Refreshes the page; one request at a time. */
async function refresh() {
  if (!page || asking) {
    again = true;
    return;
  }
  asking = true;
  again = false;
  const asked = page;
  try {
    await asked.refresh();
    if (asked === page) {
      filled = page;
      main.classList.remove('stale');
      if (place !== null) scrollTo(0, place);
      place = null;
      if (focus) returnTo(focus);
      focus = null;
      // A page whose heading comes with its data, or where what had the focus is gone.
      if (isMoved && [document.body, main].includes(document.activeElement)) focusPage();
      isMoved = false;
    }
    await nameEdge();
    entitle();
    answered();
  } catch (error) {
    if (asked === page && error.status !== 401) {
      if (error.status === 0) {
        const link = document.getElementById('link');
        link.textContent = 'unreachable';
        link.className = 'link bad';
        unanswered();
      } else refused(error.message);
    }
  }
  asking = false;
  mark();
  if (again) refresh();
}

function refreshSoon() {
  if (soon === null) soon = setTimeout(() => { soon = null; refresh(); }, CROWD_MS);
}

/** Shows that the address is not that of a page. */
function noPage(wanted) {
  main.append(h('h1', {}, 'Page not found'), h('p', { class: 'verdict bad' }, 'Unknown page ', h('code', {}, wanted), '.'),
    h('p', {}, h('a', { href: '#/overview' }, 'Overview'), ' · ', h('a', { href: '#/calls' }, 'All calls')));
  return { title: 'Page not found', refresh: async () => {} };
}

/** Accepts `#/call/SID` as well, which is easily typed. */
function pageOf({ name, rest, query }, kept) {
  if (['calls', 'call'].includes(name) && rest[0]) return callPage(main, rest[0], refresh);
  const found = PAGES.find(([known]) => known === name);
  return found && !rest[0] ? found[2](main, query, kept, refresh) : noPage(location.hash);
}

/** Names what is wrong with the parameters of an address above its page. */
function nameMistakes({ name, query }) {
  if (['Calls', 'Page not found'].includes(page.title)) return;
  const known = PARAMETERS[name] || [];
  const others = [...new Set(query.keys())].filter((one) => !known.includes(one)).map((one) => `\`${one}\` is no parameter of this page`);
  const note = mistake([...others, ...(page.mistakes || [])], known.join(', '));
  if (note) (main.querySelector('h1') || main.firstChild).after(note);
}

/** What of the page has the focus: its key, and that of its row. */
function focused() {
  const active = document.activeElement;
  return main.contains(active) && active !== main ? { key: active.dataset.key, row: active.closest('tr[data-row]')?.dataset.row ?? row } : { row };
}

/** Gives the focus back to what had it as the page was left: the element, or its row. */
function returnTo({ key, row: of }) {
  const find = (name, value) => value !== undefined && value !== null && [...main.querySelectorAll(`[data-${name}]`)].find((one) => one.dataset[name] === value);
  const found = find('key', key) || find('row', of);
  if (!found || main.contains(document.activeElement)) return;
  if (found.tabIndex < 0 && !found.hasAttribute('tabindex')) found.tabIndex = -1;
  found.focus({ preventScroll: true });
  found.scrollIntoView({ block: 'nearest' });
  row = of ?? row;
}

/** Numbers the open entry of the history; returns what is kept of its page, if it was open before. */
function turn() {
  if (page) left.set(entry, { at: scrollY, row, focus: focused(), kept: page.keep ? page.keep() : null });
  while (left.size > KEPT_PAGES) left.delete(left.keys().next().value);
  // A new entry has no number; that of the page before is where its way back leads.
  const { entry: known, from = cameFrom } = history.state || {};
  entry = known ?? Math.max(Date.now(), entry + 1);
  history.replaceState({ entry, from }, '');
  cameFrom = location.hash;
  const before = left.get(entry);
  left.delete(entry);
  return before;
}

function open() {
  const wanted = address();
  const before = turn();
  if (page && page.close) page.close();
  // An edge that is silent lets them wait for seconds.
  api.abandon();
  main.replaceChildren();
  row = before ? before.focus.row ?? before.row : null;
  focus = before ? before.focus : null;
  place = before ? before.at : 0;
  document.getElementById('search').value = wanted.query.get('search') || '';
  page = pageOf(wanted, before?.kept);
  nameMistakes(wanted);
  scrollTo(0, place);
  if (document.getElementById('lost')) unanswered();
  if (isMoved && !before) focusPage();
  entitle();
  for (const link of document.querySelectorAll('#nav a')) {
    if (link.dataset.page === (wanted.name === 'call' ? 'calls' : wanted.name)) {
      link.setAttribute('aria-current', 'page');
    } else link.removeAttribute('aria-current');
  }
  showTab();
  // The first answer names the edge, which moves the menu.
  refresh().then(showTab);
}

/** Scrolls the menu to the open page: on a phone it is wider than the screen. */
function showTab() {
  const link = document.querySelector('#nav a[aria-current]');
  if (!link) return;
  const nav = link.parentElement;
  nav.scrollLeft += link.getBoundingClientRect().left - nav.getBoundingClientRect().left - (nav.clientWidth - link.offsetWidth) / 2;
}

function rows() {
  return [...main.querySelectorAll('tr[data-row].opens')];
}

/** Marks the selected row again after the table was redrawn. */
function mark() {
  for (const one of rows()) one.classList.toggle('chosen', one.dataset.row === row);
}

function move(by) {
  const all = rows();
  if (all.length === 0) return;
  const at = all.findIndex((one) => one.dataset.row === row);
  const next = all[Math.max(0, Math.min(all.length - 1, at + by))];
  row = next.dataset.row;
  mark();
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: 'nearest' });
}

function theme(next) {
  const wanted = next || localStorage.getItem('trunkgate.theme');
  if (wanted === 'light' || wanted === 'dark') document.documentElement.dataset.theme = wanted;
  if (next) localStorage.setItem('trunkgate.theme', next);
}

function otherTheme() {
  const isDark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  theme(isDark ? 'light' : 'dark');
}

function showHelp() {
  const dialog = document.getElementById('help-dialog');
  const close = h('button', { type: 'button', class: 'main', autofocus: true, on: { click: () => dialog.close() } }, 'Close');
  dialog.replaceChildren(h('h2', { id: 'help-title' }, 'Keyboard shortcuts'),
    h('dl', { class: 'keys' }, KEYS.map(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)])),
    h('p', { class: 'dim' }, 'In a call, Tab moves through the ladder and Enter opens a message. On a plot, ← → move the crosshair, + − zoom, 0 resets. In a terminal use: trunkgate status, calls, trace.'), close);
  dialog.showModal();
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector('dialog[open]')) return;
  const isTyping = event.target.matches('input, textarea') || (event.target.matches('select') && event.key !== '/');
  if (event.key === 'Escape' && isTyping) {
    event.target.blur();
    return;
  }
  if (isTyping) return;
  const wanted = PAGES.find(([, , , key]) => key === event.key);
  if (wanted) location.hash = `#/${wanted[0]}`;
  else if (event.key === '/') document.getElementById('search').focus();
  else if (event.key === '?') showHelp();
  else if (event.key === 'j' || event.key === 'ArrowDown' && row !== null) move(1);
  else if (event.key === 'k' || event.key === 'ArrowUp' && row !== null) move(-1);
  else if (event.key === 'Enter' && row !== null && !event.target.closest('a, button, [role=button]')) rows().find((one) => one.dataset.row === row)?.click();
  else if (event.key === 'Escape' && page?.escape?.()) { /* what was open on the page is closed */ }
  else if (event.key === 'h' || event.key === 'Escape') history.back();
  else if (event.key === 't') otherTheme();
  else if (event.key === 'm') {
    maskNumbers(!numbersAreMasked());
    say(numbersAreMasked() ? 'Phone numbers are masked.' : 'Phone numbers are shown in full.');
    refresh();
  } else return;
  event.preventDefault();
}

/** Opens what was searched for: a call by its sid, a trunk or an agent by its name, else the calls that have it. */
async function find(wanted) {
  const named = async () => {
    const { trunks, agents } = await api.get('/v1/status').catch(() => ({ trunks: [], agents: [] }));
    const isIt = ({ name }) => name.toLowerCase() === wanted.toLowerCase();
    const [trunk, agent] = [trunks.find(isIt), agents.find(isIt)];
    if (trunk) return `#/trunks${api.query({ trunk: trunk.name })}`;
    return agent ? `#/agents${api.query({ agent: agent.name })}` : null;
  };
  const isSid = /^CA[0-9a-f]{32}$/.test(wanted);
  location.hash = isSid ? `#/calls/${wanted}` : (/[a-z]/i.test(wanted) && await named()) || `#/calls${api.query({ search: wanted })}`;
}

function askForToken(why) {
  const dialog = document.getElementById('token-dialog');
  if (why) document.getElementById('token-error').textContent = why;
  if (!dialog.open) dialog.showModal();
}

/** Whether a token of the dialog is being tried. */
let isTrying = false;

/** Takes the token of the dialog, unless no edge could have it, or this one refuses it. */
async function signIn(event) {
  event.preventDefault();
  if (isTrying) return;
  const field = document.getElementById('token');
  const error = document.getElementById('token-error');
  const fault = api.tokenFault(field.value);
  error.textContent = fault || '';
  if (fault) {
    field.select();
    return;
  }
  isTrying = true;
  const token = field.value;
  const why = await api.tryToken(token);
  isTrying = false;
  field.value = '';
  error.textContent = why || '';
  if (why) return;
  api.keepToken(token);
  document.getElementById('token-dialog').close();
  focusPage();
  refresh();
  api.listen();
}

function start() {
  theme();
  // A page is filled after it was opened: the browser would scroll too early.
  history.scrollRestoration = 'manual';
  document.getElementById('nav').append(...PAGES.map(([name, title, , key]) => h('a', { href: `#/${name}`, 'data-page': name, title: `${title} (${key})` }, title)));
  document.getElementById('theme').addEventListener('click', otherTheme);
  document.getElementById('help').addEventListener('click', showHelp);
  document.getElementById('find').addEventListener('submit', (event) => {
    event.preventDefault();
    const wanted = document.getElementById('search').value.trim();
    document.getElementById('search').blur();
    find(wanted);
  });
  document.getElementById('token-form').addEventListener('submit', signIn);
  document.querySelector('.skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
  });
  document.getElementById('token-dialog').addEventListener('cancel', (event) => event.preventDefault());
  addEventListener('keydown', onKey);
  addEventListener('hashchange', () => {
    isMoved = !document.querySelector('dialog[open]');
    open();
  });
  api.whenUnauthorized(askForToken);
  const link = document.getElementById('link');
  api.follow((name, data) => {
    if (name === 'link') {
      link.textContent = data.live ? 'live' : 'polling';
      link.className = `link ${data.live ? 'good' : 'warn'}`;
      link.title = data.live ? 'Live updates' : 'No event stream: refreshing every 3 seconds';
    } else if (page && page.event) page.event(name, data);
    // An open stream that is silent is the first sign of an edge that hangs.
    if (name === 'link' && !data.live) refresh();
    else refreshSoon();
  });
  let asked = Date.now();
  setInterval(() => {
    if (document.hidden || Date.now() - asked < (api.isLive ? LIVE_MS : ALONE_MS)) return;
    asked = Date.now();
    refresh();
  }, 500);
  open();
  api.listen();
}

start();
