// Routes in order with their calls, and a test of a call that is evaluated while the user types.

import * as api from './api.js';
import { chip, h, rich, section, swap, table } from './dom.js';
import { count, kind, many, masked } from './format.js';
import { mistake } from './listing.js';
import { explanation } from './call.js';
import { faultChips, faults, reason } from './trunks.js';

const ASK_MS = 250;
/** Rejected calls from which on a trunk counts as rejecting, as in `status`. */
const REJECTED_LEAST = 3;
/** Routes that a line above the table names. */
const NAMED = 5;

function list(all, none) {
  return all.length ? all.map((one) => h('code', { class: 'item' }, masked(one))) : h('span', { class: 'dim default' }, none);
}

/** What keeps calls from a target, as text, link, colour and reason; null if it may get calls, undefined if it gets none by design. */
function trouble(target, { trunks, agents, problem_details: problems }) {
  const [, kind, name] = /^(trunk|agent|app|reject):([^/@]+)/.exec(target) || [];
  if (kind === 'reject') return undefined;
  const one = (text, page, colour, why) => ({ text, colour: colour || 'warn', link: `#/${page}${api.query({ [kind]: name })}`, title: why || target });
  if (kind === 'trunk') {
    const trunk = trunks.find((each) => each.name === name);
    if (!trunk) return null;
    if (trunk.state === 'down') return one('down', 'trunks', null, reason(trunk, problems));
    if (trunk.registration?.state === 'failed') return one('not registered', 'trunks', null, reason(trunk, problems));
    const { still, calls, of, in_row: row } = trunk.rejected || {};
    return still && (row >= REJECTED_LEAST || (calls >= REJECTED_LEAST && calls * 2 >= of)) ? one(`rejects ${count(calls)} of ${count(of)}`, 'trunks', faults(trunk, problems).find(({ isNow }) => isNow)?.kind) : null;
  }
  if (kind === 'agent') {
    const agent = agents.find((each) => each.name === name);
    return agent && ['down', 'skipped'].includes(agent.state) ? one(agent.state, 'agents', null, reason(agent, problems, 'agents')) : null;
  }
  return kind === 'app' && problems.some((each) => each.app === name && each.harm === 'calls') ? { text: 'fails', colour: 'bad', link: `#/calls${api.query({ app: name, flag: 'app_error' })}`, title: target } : null;
}

/** What is wrong with a target's trunk or agent now, as its own page shows it; without fixes, which may be of another route. */
function faultsOf(target, { trunks, agents, problem_details: problems }) {
  const [, kind, name] = /^(trunk|agent):([^/@]+)/.exec(target) || [];
  const party = (kind === 'agent' ? agents : kind === 'trunk' ? trunks : []).find((each) => each.name === name);
  return party ? faults(party, problems, `${kind}s`).filter(({ isNow }) => isNow).map((one) => ({ ...one, title: one.words })) : [];
}

/** The single targets of one that is written; all of `ring all`. */
const singles = (target) => target.replace(/^ring all: /, '').split(', ');

/** Whether calls of a route find no target now. */
function isStranded(route, status) {
  return !route.has_file && areOut(route.connect.flatMap(singles), status);
}

/** Whether there are targets that may get calls by design, and none gets any now. */
function areOut(targets, status) {
  const all = targets.map((target) => trouble(target, status)).filter((one) => one !== undefined);
  return all.length > 0 && all.every(Boolean);
}

/** Whether something is wrong with the first target of a route that its callers suffer from. */
function suffers(route, status, harms) {
  return route.connect.slice(0, 1).flatMap(singles).some((target) => faultsOf(target, status).some(({ harm, kind }) => harms.includes(harm) && kind === 'bad'));
}

/** Chips of one target: what keeps calls from it, then what is wrong with its trunk or agent. */
function chipsOf(target, status, isLost) {
  const one = trouble(target, status);
  const own = faultsOf(target, status);
  const isSaid = own.some(({ text }) => one && text.startsWith(one.text));
  return [one && !isSaid ? [h('a', { href: one.link, class: `chip ${isLost ? 'bad' : one.colour}`, title: masked(one.title) }, one.text), ' '] : null, faultChips(own)];
}

/** The same chips in a test of a call, with the state of each target that can have one. */
function testedChips(target, state, status, isLost) {
  const isSaid = trouble(target, status)?.text === state;
  return [state && !isSaid ? [' ', chip(kind(state), state)] : null, ' ', chipsOf(target, status, isLost)];
}

/** Targets as written, each with what keeps calls from it now; `isLost`: red, for that costs the route its calls. */
function targets(route, status, isLost) {
  if (route.connect.length === 0) return list([], route.has_file ? 'routes_file' : 'none');
  return h('span', { class: 'of-route' }, route.connect.map((target) => h('span', {}, h('code', { class: 'item' }, masked(target)), ' ',
    singles(target).map((each) => chipsOf(each, status, isLost)))));
}

function sum(route) {
  return Object.values(route.calls).reduce((a, b) => a + b, 0);
}

export function routesPage(main, query) {
  const answer = h('div', { 'aria-live': 'polite' });
  const routes = h('div', {});
  const note = h('div', {});
  const from = h('select', { id: 'why-from', name: 'from' });
  const field = (name, label, hint) => h('label', {}, label, h('input', { name, id: `why-${name}`, size: 18, placeholder: hint, value: query.get(name) || '', autocomplete: 'off', spellcheck: 'false' }));
  const form = h('form', { class: 'filters', 'aria-label': 'Test a call' },
    h('label', {}, 'From', from), field('called', 'Called number', '+14155550100'), field('caller', 'Calling number', 'any'), field('at', 'Time (empty: now)', '2026-11-20T09:00'));
  let timer = null;
  let last = 0;
  /** What was asked, and the answer to it. */
  let asked = null;
  let explained = null;
  /** Names of the trunks. */
  let known = null;
  /** The newest status. */
  let latest = null;
  const show = () => {
    const isOpen = answer.querySelector('details.all-routes')?.open;
    const isLost = latest && areOut(explained.targets.map((one) => one.target || one).flatMap(singles), latest);
    swap(answer, latest ? explanation(explained, (target, state) => testedChips(target, state, latest, isLost)) : explanation(explained));
    const box = answer.querySelector('details.all-routes');
    if (box && isOpen) box.open = true;
  };

  /** Evaluates what was asked, also once more: what is known of the targets is of now. */
  async function explain() {
    last += 1;
    const mine = last;
    try {
      const why = await api.get(`/v1/why${api.query(asked)}`);
      if (mine === last) {
        explained = why;
        show();
      }
    } catch (error) {
      if (mine === last) {
        explained = null;
        swap(answer, h('p', { class: 'bad', role: 'alert' }, rich(masked(error.message))));
      }
    }
  }

  /** Takes what is asked from the form. */
  async function ask() {
    const data = Object.fromEntries(new FormData(form));
    // The test survives a reload, and can be shared.
    history.replaceState(history.state, '', `#/routes${data.called ? api.query(data) : ''}`);
    if (data.called) {
      asked = data;
      await explain();
    } else {
      last += 1;
      explained = null;
      const alone = known === '' ? 'No trunks are configured: only requests to the API make calls. ' : '';
      swap(answer, h('p', { class: 'empty' }, alone, 'Enter a called number to see which route matches, and why the others do not.'));
    }
  }

  form.addEventListener('submit', (event) => { event.preventDefault(); ask(); });
  form.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(ask, ASK_MS); });
  main.append(h('h1', {}, 'Routes'), section('Test a call', note, form, answer), section('Routes in order; the first match is used', routes));
  return {
    title: 'Routes',
    async refresh() {
      const [{ routes: all }, status] = await Promise.all([api.get('/v1/routes'), api.get('/v1/status')]);
      const { trunks } = status;
      latest = status;
      // A column that no route uses is not shown.
      const uses = (of) => all.some(of);
      const stranded = all.filter((route) => isStranded(route, status));
      const losing = all.filter((route) => !stranded.includes(route) && suffers(route, status, ['calls']));
      const silent = all.filter((route) => !stranded.includes(route) && !losing.includes(route) && suffers(route, status, ['media']));
      const red = new Set([...stranded, ...losing, ...silent]);
      const link = ({ name }, at) => [at ? ', ' : '', h('a', { href: `#/calls${api.query({ route: name, state: 'ended' })}` }, masked(name))];
      const line = (of, text) => (of.length ? h('p', { class: 'bad' }, `${many(of.length, 'route')} ${text(of.length === 1)}: `, of.slice(0, NAMED).map(link), of.length > NAMED ? ` and ${count(of.length - NAMED)} more` : '', '.') : null);
      const names = trunks.map(({ name }) => name);
      if (known !== names.join()) {
        known = names.join();
        const wanted = from.value || query.get('from');
        swap(note, wanted && wanted !== 'api' && !names.includes(wanted) ? mistake([`no trunk \`${wanted}\` is configured`], 'the trunks in the list') : null);
        const request = names.includes('api') ? [] : [h('option', { value: 'api', selected: wanted === 'api' }, 'a request to the API')];
        // The first trunk that a route names, for many trunks only receive calls.
        const first = all.flatMap((route) => route.from).find((name) => names.includes(name));
        swap(from, names.map((name) => h('option', { value: name, selected: name === (wanted || first) }, name)).concat(request));
        ask();
      } else if (explained) explain();
      swap(routes, line(stranded, () => 'without a target that takes calls now'), line(losing, (isOne) => (isOne ? 'loses its callers now' : 'lose their callers now')), line(silent, (isOne) => (isOne ? 'has calls without audio now' : 'have calls without audio now')), table([
        { name: 'Route', cell: (route) => [h('span', { class: 'dim position' }, route.position), ' ', h('strong', {}, masked(route.name)), route.line ? [' ', h('span', { class: 'dim nowrap' }, `line ${route.line}`)] : null], class: 'route' },
        { name: 'From', wide: true, cell: (route) => list(route.from, 'any trunk') },
        { name: 'To', wide: true, cell: (route) => (route.has_file ? 'routes_file' : list(route.to, 'any number')) },
        uses(({ caller }) => caller.length) ? { name: 'Caller', wide: true, cell: (route) => list(route.caller, 'any caller') } : null,
        uses(({ when, share }) => when.length || share < 100) ? { name: 'When', wide: true, cell: (route) => [list(route.when, 'always'), route.share < 100 ? `, ${route.share} % of calls` : ''] } : null,
        { name: 'Targets', wide: true, cell: (route) => targets(route, status, route.isStranded) },
        uses(({ fork }) => fork.length) ? { name: 'Listeners', wide: true, cell: (route) => list(route.fork, '–') } : null,
        { name: 'Calls', title: 'Ended calls since the edge started', cell: (route) => h('a', { href: `#/calls${api.query({ route: route.name, state: 'ended' })}`, title: Object.entries(route.calls).map(([name, calls]) => `${name} ${calls}`).join(', ') }, count(sum(route))), class: 'number' },
        { name: 'ASR', cell: (route) => (sum(route) ? `${Math.round((100 * (route.calls.answered || 0)) / sum(route))} %` : '–'), class: 'number' },
      ].filter(Boolean), {
        caption: 'Routes', compact: true, rows: all.map((route, place) => ({ ...route, position: place + 1, isStranded: stranded.includes(route), isRed: red.has(route) })), key: (route) => route.name, empty: names.length ? 'No routes are configured: every call gets 404.' : 'No routes and no trunks are configured: SIP from every source is dropped without a reply.',
        mark: (route) => (route.isRed ? 'marked' : sum(route) ? null : 'dead'), open: (route) => { location.hash = `#/calls${api.query({ route: route.name, state: 'ended' })}`; },
      }), h('p', { class: 'dim' }, `Ended calls since the edge started.${all.every(sum) ? '' : ' Routes without calls are grey.'}`));
    },
  };
}
