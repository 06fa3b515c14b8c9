// A call's ladder: one column for each leg and one for the edge, one row for each entry. A click on a message row shows the message
// beside the ladder, or below it where the screen is narrow.

import { h, s } from './dom.js';
import { local, masked, offset, plain } from './format.js';
import { message } from './message.js';
import { line } from './webhooks.js';

const ROW = 24;
/** Widths: the time, a column, a remark beside its row at least and at best, a usual character of it. With less space than that remarks are below their rows. */
const TIME = 84;
const NARROW_TIME = 70;
const COLUMN = { least: 112, most: 170, narrow: 72 };
const NOTE = { least: 250, best: 440 };
const CHAR = 6.7;
/** Widths of a line of a remark at most and of a remark, and the distance of its lines. */
const NOTE_LINE = 96 * CHAR;
const NOTE_TEXT = 384 * CHAR;
const NOTE_PITCH = 15;
const HEAD = 34;
/** Names of parties: the size of a line, lines of one name at most, and the least space between two names. */
const NAME = { line: 13, lines: 3, gap: 10, font: 650 };
/** The words of an arrow have as much room at least. */
const LABEL = 104;
const PAUSE = 14;
/** A longer pause than this is shown as a gap between two rows. */
const PAUSE_US = 1_000_000;

/** Entries about media that are no fault. */
const USUAL = /^(RTP comes from|DTMF digit)/;

/** Returns the remark beside a row, without its fix, which the verdict shows. */
function remark(trace, entry) {
  // That of a retransmission stands at the first one.
  if (entry.kind === 'message') return entry.again ? '' : masked(entry.note);
  // The section Webhooks has the body.
  if (entry.kind === 'webhook') return masked(line(entry));
  const who = entry.kind === 'decision' ? '' : `${trace.legs[entry.leg]}: `;
  return local(masked(`${who}${entry.text.split('; try: ')[0]}`)).replaceAll('`', '');
}

const measure = document.createElement('canvas').getContext('2d');
/** Sizes of the texts: remarks, and the words of arrows. */
const TEXT = 12;
let family = null;

/** Returns the width of a text in pixels. */
function widthOf(text, size = TEXT, weight = 400) {
  family ||= getComputedStyle(document.body).fontFamily;
  measure.font = `${weight} ${size}px ${family}`;
  return measure.measureText(text).width;
}

/** Cuts a text to a width. */
function shortened(text, most, size = TEXT, weight = 400) {
  if (widthOf(text, size, weight) <= most) return text;
  let end = text.length;
  while (end > 1 && widthOf(`${text.slice(0, end)}…`, size, weight) > most) end -= 1;
  return `${text.slice(0, end)}…`;
}

/** Wraps a remark at words, and a word that is too long for a line anywhere; the tooltip has the full text. Returns its lines with the width of the widest. */
function folded(text, most) {
  const lines = [''];
  for (const word of plain(text).split(' ')) {
    const last = lines[lines.length - 1];
    if (last === '' || widthOf(`${last} ${word}`) <= most) lines[lines.length - 1] = last ? `${last} ${word}` : word;
    else lines.push(word);
    for (let long = lines[lines.length - 1]; widthOf(long) > most; long = lines[lines.length - 1]) {
      let end = long.length - 1;
      while (end > 1 && widthOf(long.slice(0, end)) > most) end -= 1;
      lines.splice(lines.length - 1, 1, long.slice(0, end), long.slice(end));
    }
  }
  const limit = Math.ceil(NOTE_TEXT / most);
  if (lines.length > limit) {
    lines.length = limit;
    lines[limit - 1] = shortened(`${lines[limit - 1]} …`, most);
  }
  return { lines, width: Math.max(...lines.map((one) => widthOf(one))) };
}

/** Columns: the first leg, the edge, the other legs. */
function columnOf(leg) {
  return leg === 0 ? 0 : leg + 1;
}

function label(trace, entry) {
  const party = trace.legs[entry.leg];
  const at = offset(entry.at_us);
  if (entry.kind === 'message') {
    // It begins with the words of the row, by which speech control finds it.
    const way = entry.received ? `from ${party}` : `to ${party}`;
    return `${at} ${entry.text} ${[remark(trace, entry), way, entry.again ? 'retransmission' : ''].filter(Boolean).join(', ')}`;
  }
  return `${at} ${party && entry.leg !== undefined ? `${party}: ` : ''}${entry.kind === 'webhook' ? masked(line(entry)) : local(masked(entry.text))}`;
}

function arrow(entry, x, y, width) {
  const [edge, leg] = [x(1), x(columnOf(entry.leg))];
  const [from, to] = entry.received ? [leg, edge] : [edge, leg];
  const tip = to > from ? -7 : 7;
  const code = Number(entry.text.slice(0, 3));
  const words = shortened(entry.text, Math.max(LABEL, Math.abs(to - from) - 12));
  const half = widthOf(words) / 2;
  const middle = Math.max(2 + half, Math.min(width - 4 - half, (from + to) / 2));
  const kind = code >= 400 ? 'bad' : code >= 200 ? 'good' : code >= 100 ? 'dim' : '';
  return [
    s('line', { x1: from, x2: to + tip / 2, y1: y, y2: y, class: `arrow ${kind}${entry.again ? ' again' : ''}` }),
    s('path', { d: `M${to} ${y}l${tip} -4v8z`, class: `tip ${kind}` }),
    s('text', { x: middle, y: y - 4, class: `on ${kind}`, 'text-anchor': 'middle' }, words),
  ];
}

/** Divides the width: distance of the columns, and the place and the width of remarks. */
function layout(columns, room) {
  if (room >= TIME + columns * COLUMN.least + NOTE.least) {
    const apart = Math.max(COLUMN.least, Math.min(COLUMN.most, (room - TIME - NOTE.best) / columns));
    const beside = TIME + columns * apart;
    return { time: TIME, apart, beside, below: 0, width: room, most: Math.min(NOTE_LINE, room - beside - 12) };
  }
  const apart = Math.max(COLUMN.narrow, Math.min(COLUMN.most, (room - NARROW_TIME) / columns));
  return { time: NARROW_TIME, apart, beside: 12, below: NOTE_PITCH + 2, width: Math.max(room, NARROW_TIME + columns * apart), most: room - 24 };
}

/** Breaks a name behind its separators into lines of a width; a part that is too long alone, or a further line, is cut. */
function broken(name, most, size) {
  const fits = (text) => widthOf(text, size, NAME.font) <= most;
  const lines = [];
  for (const part of name.match(/[^-._:@ ]*[-._:@ ]*/g).filter(Boolean)) {
    const last = lines[lines.length - 1];
    if (last !== undefined && fits(last + part)) lines[lines.length - 1] = last + part;
    else lines.push(part);
  }
  if (lines.length > NAME.lines) lines.splice(NAME.lines - 1, lines.length, lines.slice(NAME.lines - 1).join(''));
  return lines.map((one) => shortened(one, most, size, NAME.font));
}

/** Places the names of the columns: in one row if they fit, else in two rows by turns, so that each has the room of two columns. */
function heads(names, apart, x, width) {
  const isOne = names.every((name) => widthOf(name, 13, NAME.font) <= apart - NAME.gap);
  const size = isOne ? 13 : 11;
  // A name at the edge has half a column less.
  const room = isOne ? apart : apart * 1.5;
  const lines = names.map((name) => broken(name, room - NAME.gap, size));
  const deep = (row) => Math.max(0, ...lines.filter((_, at) => isOne || at % 2 === row).map((all) => all.length)) * NAME.line;
  const upper = deep(0);
  const height = isOne ? HEAD : 14 + upper + deep(1) + 6;
  const text = (name, at) => {
    const widest = Math.max(...lines[at].map((line) => widthOf(line, size, NAME.font)));
    const middle = Math.max(2 + widest / 2, Math.min(width - 2 - widest / 2, x(at)));
    const y = isOne ? 20 : 16 + (at % 2 ? upper : 0);
    return s('text', { class: `party${at === 1 ? ' own' : ''}`, 'text-anchor': 'middle', 'font-size': size }, s('title', {}, name),
      lines[at].map((line, down) => s('tspan', { x: middle, y: y + down * NAME.line }, line)));
  };
  return { height, texts: names.map(text) };
}

/** Draws one entry at a height: time, arrow or event, remark. A message can be chosen. */
function row(trace, place, at, { x, width, timeWidth, beside, below, notes, extra }, choose) {
  const entry = trace.entries[place];
  const isMessage = entry.kind === 'message';
  const inner = [
    s('rect', { x: 0, y: at - ROW + 8, width, height: ROW + extra(place), class: 'hit' }),
    s('text', { x: timeWidth - 6, y: at, class: 'time', 'text-anchor': 'end' }, offset(entry.at_us)),
  ];
  const note = notes[place];
  const lines = note.lines.map((line, down) => s('tspan', { x: beside, y: at + below + down * NOTE_PITCH }, down < note.lines.length - 1 ? `${line} ` : line));
  // Below its row a remark lies across the columns: their lines end behind it.
  if (below && note.width) inner.unshift(s('rect', { x: beside - 4, y: at + below - 12, width: Math.min(note.width + 8, width - beside), height: note.lines.length * NOTE_PITCH + 2, class: 'paper' }));
  if (isMessage) {
    inner.push(...arrow(entry, x, at, width), s('text', { class: 'note' }, lines));
  } else {
    const column = entry.leg === undefined ? 1 : columnOf(entry.leg);
    const kind = USUAL.test(entry.text) ? `${entry.kind} usual` : entry.kind;
    inner.push(s('circle', { cx: x(column), cy: at - 4, r: 4, class: `event ${kind}` }), s('text', { class: `note ${kind}` }, lines));
  }
  const group = s('g', isMessage
    ? { class: 'row opens', tabindex: '0', role: 'button', 'aria-label': label(trace, entry), 'data-key': `row ${place}`, 'data-row': place, 'data-at': entry.at_us }
    : { class: 'row', role: 'img', 'aria-label': label(trace, entry), 'data-at': entry.at_us },
  s('title', {}, label(trace, entry)), inner.flatMap((one) => [one, ' ']));
  if (!isMessage) return group;
  group.addEventListener('click', () => choose(place));
  group.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    event.stopPropagation();
    choose(place);
  });
  return group;
}

/** Draws the ladder at a width and, beside or below it, the selected message; `redraw` is called where that takes another width. */
export function ladder(trace, state, given, redraw) {
  const columns = trace.legs.length + 1;
  const isWide = given >= 1000;
  const isBeside = isWide && trace.entries[state.chosen]?.kind === 'message';
  // Of a wide page the ladder has three fifths, as in style.css; the border of its box is 2 pixels.
  const { time: timeWidth, apart, beside, below, width, most } = layout(columns, Math.floor(isBeside ? (given - 14) * 0.6 : given) - 2);
  const x = (column) => timeWidth + apart / 2 + column * apart;
  const names = [trace.legs[0], 'edge', ...trace.legs.slice(1)].map((name) => name || 'caller');
  const head = heads(names, apart, x, width);
  let y = head.height + 6;
  let before = null;
  const notes = trace.entries.map((entry) => folded(remark(trace, entry), most));
  const extra = (place) => (notes[place].lines.length - 1) * NOTE_PITCH + (notes[place].width ? below : 0);
  const rows = trace.entries.map((entry, place) => {
    if (before !== null && entry.at_us - before > PAUSE_US) y += PAUSE;
    before = entry.at_us;
    y += ROW;
    const at = y;
    y += extra(place);
    return at;
  });
  const height = y + 18;
  const parts = [...names.map((_, column) => s('line', { x1: x(column), x2: x(column), y1: head.height, y2: height - 6, class: `pole${column === 1 ? ' own' : ''}` })), ...head.texts];
  const detail = h('div', { class: 'message', role: 'region', 'aria-label': 'Selected message' });
  const groups = [];
  const show = (place) => {
    state.chosen = place;
    groups.forEach((group, at) => group && group.classList.toggle('chosen', at === place));
    const back = h('button', { type: 'button', class: 'quiet back', on: { click: () => { groups[place].scrollIntoView({ block: 'center' }); groups[place].focus({ preventScroll: true }); } } }, '↑ Ladder');
    const close = h('button', { type: 'button', class: 'quiet close', 'aria-label': 'Close the message', title: 'Close (Esc)', on: { click: state.close } }, '✕');
    detail.replaceChildren(h('div', { class: 'message-buttons' }, back, close), ...message(trace, place, state.began));
  };
  const choose = (place) => {
    show(place);
    if (isWide && !isBeside) {
      redraw(place);
      return;
    }
    detail.scrollTop = 0;
    if (!isBeside) detail.scrollIntoView({ block: 'start' });
  };
  const frame = { x, width, timeWidth, beside, below, notes, extra };
  trace.entries.forEach((entry, place) => {
    const group = row(trace, place, rows[place], frame, choose);
    if (entry.kind === 'message') groups[place] = group;
    parts.push(group);
  });
  const svg = s('svg', { class: 'ladder', width, height, viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': `Ladder: ${names.join(', ')}` }, parts);
  if (Number.isInteger(state.chosen) && trace.entries[state.chosen]?.kind === 'message') show(state.chosen);
  // The hint stays, so that the first choice moves no row.
  const hint = groups.length ? h('p', { class: 'dim' }, 'Select a message (click, or Tab and Enter) to see its text and the changes by the edge.') : null;
  return [
    hint,
    trace.dropped ? h('p', { class: 'warn' }, `${trace.dropped} earlier entries were dropped.`) : null,
    h('div', { class: isBeside ? 'ladder-pair' : null },
      h('div', { class: 'scroll ladder-box', 'data-scroll': 'ladder', tabindex: '0', role: 'region', 'aria-label': 'Ladder, scrolls horizontally' }, svg), detail),
  ];
}
