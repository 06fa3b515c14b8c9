// Routes in order with their calls, and a test of a call that is evaluated while the user types.

import * as api from './api.js';
import { h, section, swap, table } from './dom.js';
import { count, masked, numbersAreMasked } from './format.js';
import { explanation } from './call.js';

const ASK_MS = 250;

function list(all, none) {
  return all.length ? all.map((one) => h('code', { class: 'item' }, masked(one))) : h('span', { class: 'dim default' }, none);
}

function sum(route) {
  return Object.values(route.calls).reduce((a, b) => a + b, 0);
}

export function routesPage(main, query) {
  const answer = h('div', { 'aria-live': 'polite' });
  const routes = h('div', {});
  const from = h('select', { id: 'why-from', name: 'from' });
  const field = (name, label, hint) => h('label', {}, label, h('input', { name, id: `why-${name}`, size: 18, placeholder: hint, value: query.get(name) || '', autocomplete: 'off', spellcheck: 'false' }));
  const form = h('form', { class: 'filters', 'aria-label': 'Test a call' },
    h('label', {}, 'From', from), field('called', 'Called number', '+14155550100'), field('caller', 'Calling number', 'any'), field('at', 'Time (empty: now)', '2026-11-20T09:00'));
  let timer = null;
  let last = 0;
  let explained = null;
  let wasMasked = numbersAreMasked();
  /** Names of the trunks. */
  let known = null;

  async function ask() {
    const data = Object.fromEntries(new FormData(form));
    if (!data.called) {
      const alone = known === '' ? 'No trunks are configured: only requests to the API make calls. ' : '';
      swap(answer, h('p', { class: 'empty' }, alone, 'Enter a called number to see which route matches, and why the others do not.'));
      return;
    }
    last += 1;
    explained = null;
    const mine = last;
    try {
      const why = await api.get(`/v1/why${api.query(data)}`);
      if (mine === last) {
        explained = why;
        swap(answer, explanation(why));
      }
    } catch (error) {
      if (mine === last) swap(answer, h('p', { class: 'bad' }, masked(error.message)));
    }
  }

  form.addEventListener('submit', (event) => { event.preventDefault(); ask(); });
  form.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(ask, ASK_MS); });
  main.append(h('h1', {}, 'Routes'), section('Test a call', form, answer), section('Routes in order; the first match is used', routes));
  return {
    title: 'Routes',
    async refresh() {
      const [{ routes: all }, { trunks }] = await Promise.all([api.get('/v1/routes'), api.get('/v1/trunks')]);
      const names = trunks.map(({ name }) => name);
      if (known !== names.join()) {
        known = names.join();
        const wanted = from.value || query.get('from');
        const api = names.includes('api') ? [] : [h('option', { value: 'api', selected: wanted === 'api' }, 'a request to the API')];
        swap(from, names.map((name) => h('option', { value: name, selected: name === wanted }, name)).concat(api));
        ask();
      }
      if (explained && wasMasked !== numbersAreMasked()) swap(answer, explanation(explained));
      wasMasked = numbersAreMasked();
      swap(routes, table([
        { name: 'Route', cell: (route) => [h('span', { class: 'dim position' }, route.position), ' ', h('strong', {}, route.name), route.line ? h('span', { class: 'dim' }, ` line ${route.line}`) : null] },
        { name: 'From', wide: true, cell: (route) => list(route.from, 'any trunk') },
        { name: 'To', wide: true, cell: (route) => (route.has_file ? 'routes_file' : list(route.to, 'any number')) },
        { name: 'Caller', wide: true, cell: (route) => list(route.caller, 'any caller') },
        { name: 'When', wide: true, cell: (route) => [list(route.when, 'always'), route.share < 100 ? `, ${route.share} % of calls` : ''] },
        { name: 'Targets', wide: true, cell: (route) => list(route.connect, route.has_file ? 'routes_file' : 'none') },
        { name: 'Listeners', wide: true, cell: (route) => list(route.fork, '–') },
        { name: 'Calls', cell: (route) => h('a', { href: `#/calls${api.query({ route: route.name })}`, title: Object.entries(route.calls).map(([name, many]) => `${name} ${many}`).join(', ') }, count(sum(route))), class: 'number' },
        { name: 'ASR', cell: (route) => (sum(route) ? `${Math.round((100 * (route.calls.answered || 0)) / sum(route))} %` : '–'), class: 'number' },
      ], {
        caption: 'Routes', compact: true, rows: all.map((route, place) => ({ ...route, position: place + 1 })), key: (route) => route.name, empty: names.length ? 'No routes are configured: every call gets 404.' : 'No routes and no trunks are configured: SIP from every source is dropped without a reply.',
        mark: (route) => (sum(route) ? null : 'dead'), open: (route) => { location.hash = `#/calls${api.query({ route: route.name })}`; },
      }), h('p', { class: 'dim' }, 'Ended calls since the edge started. Routes without calls are grey.'));
    },
  };
}
