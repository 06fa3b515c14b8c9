// Sortable tables of trunks and agents: their order, which the URL contains, and the details of a row below it.

import { h, heading, rich, swap, table } from './dom.js';

const isKnown = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** Returns the rows in the order of a column; rows without a value are last in both directions. */
export function ordered(rows, column, down) {
  return [...rows].sort((a, b) => {
    const [x, y] = [column.sort(a), column.sort(b)];
    if (!isKnown(x) || !isKnown(y)) return isKnown(y) - isKnown(x);
    const order = typeof x === 'string' ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
    return down ? -order : order;
  });
}

/** Says what is wrong with the address of a page, and which parameters it has; null if nothing is. */
export function mistake(wrong, known) {
  return wrong.length ? h('p', { class: 'verdict warn', id: 'unknown', role: 'alert' }, h('strong', {}, 'The address of this page has a mistake'), ': ', rich(wrong.join('; ')),
    known ? `. The page is shown without it. Known are ${known}.` : '. The page is shown without it: it has no parameters.') : null;
}

/** A choice of the order, shown where a table has no header: on phones. `choose(name)`; the same name again turns the order. */
export function orderChoice(columns, sorted, choose) {
  const select = h('select', { on: { change: () => choose(select.value) } }, columns.filter((column) => column.sort).map((column) => h('option', { value: column.name }, heading(column))));
  const turn = h('button', { type: 'button', class: 'quiet', on: { click: () => choose(select.value) } });
  const node = h('div', { class: 'sort-by' }, h('label', {}, 'Sort by ', select), turn);
  const show = ({ by, down }) => {
    for (const option of select.options) option.text = heading(columns.find(({ name }) => name === option.value));
    select.value = by;
    turn.textContent = down ? '↓' : '↑';
    turn.setAttribute('aria-label', down ? 'Descending, change to ascending' : 'Ascending, change to descending');
  };
  show(sorted);
  return { node, show };
}

/**
 * A sortable table with details. `columns` as of `table`, with `down: true` where the first click sorts descending; the first
 * column is the name, which opens the details. `options`: {page, query, first: column of the order, caption, key(row), name: what a row is,
 * detail(row), opensOne?: the only row is open, mark(row)?, kept()?: what else of the page the URL has, empty}. Rows that are equal by the order are in that of their keys.
 */
export function listing(columns, options) {
  const { query, page, key } = options;
  const find = (name) => columns.find((column) => column.sort && column.name === name);
  const sortable = columns.filter((column) => column.sort).map((column) => `\`${column.name}\``).join(', ');
  const mistakes = query.get('by') && !find(query.get('by')) ? [`\`${query.get('by')}\` is not a sortable column; use ${sortable}`] : [];
  let sorted = { by: find(query.get('by')) ? query.get('by') : options.first, down: query.get('down') !== null };
  const open = new Set(query.get(options.name) ? [query.get(options.name)] : []);
  let isChecked = false;
  /** Whether the only row is open without being asked for. */
  let isAlone = false;
  const note = h('div', {});
  let rows = [];
  let empty = options.empty;
  const list = h('div', {});

  /** Keeps the order and the details in the URL without opening the page again. */
  function keep() {
    const kept = new URLSearchParams();
    if (sorted.by !== options.first || sorted.down) kept.set('by', sorted.by);
    if (sorted.down) kept.set('down', '1');
    if (open.size === 1) kept.set(options.name, [...open][0]);
    for (const [name, value] of Object.entries(options.kept ? options.kept() : {})) if (value) kept.set(name, value);
    history.replaceState(history.state, '', `#/${page}${kept.size ? `?${kept}` : ''}`);
  }

  function order(by) {
    sorted = { by, down: sorted.by === by ? !sorted.down : Boolean(find(by).down) };
    choice.show(sorted);
    keep();
    draw();
  }

  function toggle(row) {
    if (!open.delete(key(row))) open.add(key(row));
    keep();
    draw();
  }

  const byKey = (all) => [...all].sort((a, b) => key(a).localeCompare(key(b), undefined, { numeric: true }));
  const [first, ...others] = columns;
  const name = {
    ...first,
    cell: (row) => h('button', { type: 'button', class: 'expand', key: `open ${key(row)}`, 'aria-expanded': String(open.has(key(row))), on: { click: () => toggle(row) } },
      h('span', { 'aria-hidden': 'true', class: 'sign' }, open.has(key(row)) ? '▾' : '▸'), first.cell(row)),
  };
  const choice = orderChoice(columns, sorted, order);

  function draw() {
    const shown = [name, ...others].filter((column) => !column.when || column.when(rows));
    const chosen = document.querySelector('tr.chosen')?.dataset.row;
    swap(list, table(shown, {
      caption: options.caption, rows: ordered(byKey(rows), find(sorted.by), sorted.down), key, sorted, onSort: order, open: toggle, mark: options.mark, empty, compact: true, stats: true,
      detail: (row) => (open.has(key(row)) ? options.detail(row) : null),
    }));
    if (chosen !== undefined) [...list.querySelectorAll('tr[data-row]')].find((row) => row.dataset.row === chosen)?.classList.add('chosen');
  }

  /** Brings the row that the URL opens into view, also where a phone folds it away. */
  function reveal() {
    const its = () => list.querySelector('button.expand[aria-expanded="true"]');
    if (open.size !== 1) return;
    if (!its()?.offsetParent) list.querySelector('button.more')?.click();
    requestAnimationFrame(() => its()?.scrollIntoView({ block: 'center' }));
  }

  return {
    keep,
    mistakes,
    node: h('div', {}, note, choice.node, list),
    show(next, none) {
      rows = next;
      const isFirst = !isChecked && rows.length > 0;
      if (isFirst) {
        const missing = [...open].filter((name) => !rows.some((row) => key(row) === name));
        isChecked = true;
        isAlone = Boolean(options.opensOne) && rows.length === 1 && open.size === 0;
        if (isAlone) open.add(key(rows[0]));
        for (const name of missing) open.delete(name);
        swap(note, mistake(missing.map((name) => `no ${options.name} \`${name}\` is in this list`), `the ${options.name}s below`));
      }
      empty = none || options.empty;
      choice.node.hidden = rows.length < 2;
      if (!choice.node.contains(document.activeElement)) choice.show(sorted);
      draw();
      if (isFirst && !isAlone) reveal();
    },
  };
}

/** Returns the samples of the last hour; each call asks for the new ones only. */
export function lastHour(api) {
  let samples = [];
  return async () => {
    const since = samples.length ? samples[samples.length - 1].at : '';
    const past = await api.get(`/v1/history${api.query({ span: 'hour', since })}`);
    samples = [...samples, ...past.samples].slice(-360);
    return samples;
  };
}
