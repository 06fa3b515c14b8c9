// Nodes are built, never parsed: text from a remote party stays text, and its invisible characters are shown.

import { ago, dated, plain } from './format.js';

const SVG = 'http://www.w3.org/2000/svg';

/** Whether the edge does not answer: what the page shows is old. */
const isStale = () => document.querySelector('main.stale, main.blank') !== null;

/** Disables what sends a request that changes something while the edge does not answer, and enables it again. */
export function allowSending(node) {
  for (const one of node.querySelectorAll('[data-sends]')) one.disabled = isStale();
}

/** Properties: those of the node; `on`: listeners; `key`: by which it has the focus again, `back`: the key of what gets the focus once it is gone; `sends`: it changes something at the edge. */
function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    } else if (name === 'key') {
      node.dataset.key = value;
    } else if (name === 'back') {
      node.dataset.back = value;
    } else if (name === 'sends') {
      node.dataset.sends = '';
      node.disabled = isStale();
    } else if (name in node && typeof value !== 'string' && !(node instanceof SVGElement)) {
      node[name] = value;
    } else {
      node.setAttribute(name, value === true ? '' : plain(String(value)));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(plain(String(child))));
  }
  return node;
}

/** An element of HTML. */
export function h(name, properties, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** An element of SVG. */
export function s(name, properties, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

/** Replaces the children of a node; keeps the focus by `key` and the scroll positions. */
export function swap(node, ...children) {
  const { key: focused, back } = node.contains(document.activeElement) ? document.activeElement.dataset : {};
  const scrolled = [...node.querySelectorAll('[data-scroll]')].map((one) => [one.dataset.scroll, one.scrollLeft]);
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  if (focused !== undefined) {
    const find = (key) => [...node.querySelectorAll('[data-key]')].find((one) => one.dataset.key === key);
    const again = find(focused) || find(back);
    if (again) again.focus({ preventScroll: true });
    else focusPage();
  }
  for (const [name, left] of scrolled) {
    const again = [...node.querySelectorAll('[data-scroll]')].find((one) => one.dataset.scroll === name);
    if (again) again.scrollLeft = left;
  }
}

/** Moves the focus to the heading of the page, so that Tab goes on from there and a screen reader says where it is. */
export function focusPage() {
  const main = document.getElementById('main');
  const title = main.querySelector('h1');
  if (title) title.tabIndex = -1;
  (title || main).focus({ preventScroll: true });
}

/** Formats a text of the edge: backticks as code, `Try:` and `Try for NAME:` in bold. */
export function rich(text) {
  return String(text || '').split('`').map((part, place) => (place % 2
    ? h('code', {}, part)
    : part.split(/(Try(?: for [^:]+)?:)/).map((word, at) => (at % 2 ? h('strong', {}, word) : word))));
}

/** A coloured label; its text has the meaning without the colour. */
export function chip(kind, text, title) {
  return h('span', { class: `chip ${kind}`, title }, text);
}

/** An absolute time, and how long ago it was. */
export function moment(text) {
  return text ? h('time', { datetime: text, title: text }, `${dated(text)} `, h('span', { class: 'dim nowrap' }, `(${ago(text)})`)) : '–';
}

/** Writes the ages of all moments in a node again. */
export function age(node) {
  for (const one of node.querySelectorAll('time')) if (one.lastElementChild) one.lastElementChild.textContent = `(${ago(one.dateTime)})`;
}

/** A list of terms and values. */
export function facts(all) {
  return h('dl', { class: 'facts' }, all.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

/** Rows that a long table shows on phones. */
const PHONE_ROWS = 12;
/** Tables whose further rows were asked for. */
const unfolded = new Set();

/** The heading of a column: its label, which may change with the data, or its name. */
export function heading({ name, label }) {
  return typeof label === 'function' ? label() : label ?? name;
}

function header(column, { sorted = {}, onSort }) {
  const text = heading(column);
  const sort = () => onSort(column.name);
  if (!column.sort || !onSort) return h('th', { scope: 'col', class: column.class, title: column.title }, text);
  const isBy = sorted.by === column.name;
  const order = isBy ? (sorted.down ? 'descending' : 'ascending') : 'none';
  return h('th', { scope: 'col', class: column.class, title: column.title, 'aria-sort': order, on: { click: sort } },
    h('button', { type: 'button', class: 'sort', key: `sort ${column.name}` },
      text, h('span', { 'aria-hidden': 'true' }, isBy ? (sorted.down ? ' ↓' : ' ↑') : '')));
}

/**
 * A table. `columns`: {name, cell(row), sort(row)?, class?, label?, title?, wide?: whole width on phones}. `options`: {caption, rows, key(row), open(row)?,
 * detail(row)?: what is shown below the row, sorted: {by, down}, onSort(by)?, mark(row)?: class of the row,
 * compact?: two cells beside each other on phones, stats?: there the numbers stand in rows below name and state, isWhole?: all rows are shown on phones too, empty}. Cells without a value are not shown on phones.
 */
export function table(columns, options) {
  const rows = options.rows.flatMap((row) => {
    const cells = columns.map((column, place) => {
      const name = heading(column);
      const cell = h('div', { class: 'cell' }, column.cell(row));
      const also = cell.querySelector('.also')?.textContent ?? '';
      const isBlank = place > 0 && (['', '–', 'none'].includes(cell.textContent.slice(0, cell.textContent.length - also.length).trim()) || cell.querySelector('.default, svg:has(.line.idle)')) && !cell.querySelector('svg:has(.line:not(.idle))');
      if (cell.textContent === '–') cell.classList.add('dim');
      return h('td', { class: [column.class, column.wide ? 'wide' : null, isBlank ? 'blank' : null].filter(Boolean).join(' ') || null, 'data-label': place ? name : null }, cell);
    });
    const properties = { 'data-row': options.key ? options.key(row) : null, class: options.mark ? options.mark(row) : null };
    if (options.open) {
      properties.class = `${properties.class || ''} opens`;
      // The keys `j` and `k` focus a row.
      if (options.key) Object.assign(properties, { tabindex: '-1', key: `row ${options.key(row)}` });
      properties.on = { click: (event) => { if (!event.target.closest('a,button,input,summary')) options.open(row); } };
    }
    const detail = options.detail ? options.detail(row) : null;
    return [h('tr', properties, cells), detail ? h('tr', { class: 'detail' }, h('td', { colspan: columns.length }, detail)) : null].filter(Boolean);
  });
  // A table that is not what the page is for shows its first rows until the rest is asked for; on phones every long one does. Rows in red are not folded away, as long as they are few.
  const beyond = options.isWhole ? [] : rows.filter((row) => !row.classList.contains('detail')).slice(options.short || PHONE_ROWS);
  const kept = beyond.filter((row) => row.matches('.marked:not(.warned)')).slice(0, PHONE_ROWS);
  const late = beyond.filter((row) => !kept.includes(row));
  const isFolded = late.length > 0 && !unfolded.has(options.caption);
  if (isFolded) {
    for (const row of late) {
      const detail = rows[rows.indexOf(row) + 1];
      row.classList.add('late');
      if (detail?.classList.contains('detail')) detail.classList.add('late');
    }
  }
  if (rows.length === 0) rows.push(h('tr', {}, h('td', { colspan: columns.length, class: 'empty' }, options.empty || 'None.')));
  return h('div', { class: 'scroll', 'data-scroll': options.caption, tabindex: '0', role: 'region', 'aria-label': `Table: ${options.caption}` },
    h('table', { class: [options.compact ? 'compact' : null, options.stats ? 'stats' : null, isFolded ? 'folded' : null, isFolded && options.short ? 'first' : null, options.rows.length ? null : 'void'].filter(Boolean).join(' ') || null }, h('caption', { class: 'unseen' }, options.caption), h('thead', {}, h('tr', {}, columns.map((column) => header(column, options)))), h('tbody', {}, rows)),
    isFolded ? h('button', { type: 'button', class: 'more', key: `more ${options.caption}`, on: { click: (event) => unfold(event.target, options.caption) } }, `Show ${late.length} more`) : null);
}

function unfold(button, caption) {
  unfolded.add(caption);
  button.previousElementSibling.classList.remove('folded', 'first');
  button.remove();
}

/** A part of a page with a heading. */
export function section(title, ...children) {
  return h('section', { 'aria-label': title }, h('h2', {}, title), ...children);
}

/** Asks for confirmation; resolves to the choice. */
export function confirmed(title, text, action) {
  const dialog = document.getElementById('ask-dialog');
  return new Promise((resolve) => {
    const form = h('form', { method: 'dialog' },
      h('h2', { id: 'ask-title' }, title), h('p', {}, text),
      h('div', { class: 'buttons' },
        h('button', { value: 'no', class: 'quiet', autofocus: true }, 'Cancel'),
        h('button', { value: 'yes', class: 'danger', id: 'ask-yes' }, action)));
    // `form-action 'none'` of the page: the dialog is closed by hand.
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      dialog.close(event.submitter ? event.submitter.value : 'no');
    });
    dialog.replaceChildren(form);
    dialog.returnValue = 'no';
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
    dialog.showModal();
  });
}

/** Shows a short message, announced by screen readers too. */
export function say(text, isBad) {
  const said = document.getElementById('said');
  said.textContent = text;
  said.className = `said shown${isBad ? ' bad' : ''}`;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.className = 'said'; }, 6000);
}
