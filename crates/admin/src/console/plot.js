// Lines over time, drawn as SVG at the width there is, each with its text as an alternative. Plots with the same time axis share
// their crosshair and their zoom.

import { h, s } from './dom.js';
import { ago, count, many } from './format.js';

const COLOURS = 6;
const EDGES = { left: 44, right: 8, top: 8, bottom: 20 };
/** A drag over fewer pixels is a click. */
const DRAG = 8;
/** The shortest time that a zoom shows. */
const LEAST_MS = 2000;
/** Time between two labels of the time axis, ms. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400].map((seconds) => seconds * 1000);
/** Half the width of such a label, without and with seconds. */
const TICK = [16, 25];
let clips = 0;

/** A time axis that several plots share: the crosshair, the zoom, and whether the user is selecting a range. */
export function timeAxis() {
  return { zoom: null, cursor: null, isDragged: false, plots: new Set() };
}

/** Shows all of the time again. */
export function resetZoom(axis) {
  zoomTo(axis, null);
}

/** Plots that a refresh has replaced are forgotten. */
function each(axis, act) {
  for (const one of axis.plots) {
    if (one.figure.isConnected) act(one);
    else axis.plots.delete(one);
  }
}

function zoomTo(axis, range) {
  axis.zoom = range && range[1] - range[0] >= LEAST_MS ? range : range && axis.zoom;
  each(axis, (one) => one.redraw());
}

function pointTo(axis, at, isByKey) {
  axis.cursor = at;
  each(axis, (one) => one.point(isByKey));
}

/** The next of 1, 2, 5 × 10ⁿ. */
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value - power * 1e-9);
}

function hour(at, withSeconds) {
  const options = { hour: '2-digit', minute: '2-digit', hour12: false };
  if (withSeconds) options.second = '2-digit';
  return new Date(at).toLocaleTimeString(undefined, options);
}

const colour = (one, place) => (one.colour ? `k-${one.colour}` : `s${place % COLOURS}`);

/** Describes a plot in words, for screen readers. */
function words(plot) {
  const parts = plot.series.map(({ name, points }) => {
    const known = points.filter(([, value]) => value !== null);
    if (known.length === 0) return `${name}: no data`;
    const last = known[known.length - 1];
    const most = known.reduce((a, b) => (b[1] > a[1] ? b : a));
    const least = known.reduce((a, b) => (b[1] < a[1] ? b : a));
    const write = (value) => value.toFixed(plot.digits) + plot.unit;
    return `${name}: last ${write(last[1])}, highest ${write(most[1])} at ${hour(most[0])}, lowest ${write(least[1])} at ${hour(least[0])}`;
  });
  return `${plot.title}. ${parts.join('. ')}.`;
}

/** Values of the horizontal lines; a count has no line between two whole numbers. */
function levels(floor, top, isCount) {
  const half = (floor + top) / 2;
  return isCount && !Number.isInteger(half) ? [floor, top] : [floor, half, top];
}

/** Returns the scales of a plot at a width, for the time that the zoom shows. */
function scales(plot, width) {
  const inner = { w: Math.max(40, width - EDGES.left - EDGES.right), h: plot.height - EDGES.top - EDGES.bottom };
  const all = plot.series.flatMap(({ points }) => points);
  const whole = plot.from ?? Math.min(...all.map(([at]) => at));
  const [from, to] = plot.axis.zoom || [whole, Math.max(plot.to ?? Math.max(...all.map(([at]) => at)), whole + 1000)];
  const seen = all.filter(([at]) => at >= from && at <= to);
  const { floor } = plot;
  const most = Math.max(plot.most ?? 0, ...seen.map(([, value]) => value ?? 0));
  const top = plot.ceiling ?? floor + nice(Math.max(most - floor, 1e-9));
  return {
    inner, seen, from, to, floor, top,
    x: (at) => EDGES.left + ((at - from) / (to - from)) * inner.w,
    y: (value) => EDGES.top + inner.h - ((Math.min(Math.max(value, floor), top) - floor) / (top - floor)) * inner.h,
    time: (x) => from + ((x - EDGES.left) / inner.w) * (to - from),
  };
}

function grid(plot, scale, width) {
  const { from, to, floor, top, inner, x, y } = scale;
  const lines = levels(floor, top, plot.digits === 0).flatMap((value) => [
    s('line', { x1: EDGES.left, x2: width - EDGES.right, y1: y(value), y2: y(value), class: 'grid' }),
    s('text', { x: EDGES.left - 6, y: y(value) + 3.5, class: 'tick', 'text-anchor': 'end' }, `${Number(value.toFixed(2))}${plot.unit.trim().length <= 2 ? plot.unit : ''}`),
  ]);
  const step = STEPS.find((one) => (to - from) / one <= Math.max(2, inner.w / 62)) ?? STEPS[STEPS.length - 1];
  // Round times of the zone of the browser.
  const zone = new Date(to).getTimezoneOffset() * 60_000;
  const begin = Math.ceil((from - zone) / step) * step + zone;
  const times = Array.from({ length: Math.floor((to - begin) / step) + 1 }, (_, n) => begin + n * step).flatMap((at) => {
    const mark = s('line', { x1: x(at), x2: x(at), y1: y(floor), y2: y(floor) + 4, class: 'grid' });
    // A label that the right edge would cut is left out.
    return x(at) > width - TICK[Number(step < 60_000)] ? [mark] : [mark, s('text', { x: x(at), y: plot.height - 3, class: 'tick', 'text-anchor': 'middle' }, hour(at, step < 60_000))];
  });
  return [...lines, ...times];
}

function line(plot, one, place, { x, y, floor }) {
  const { points, dashed } = one;
  const parts = [];
  const paint = colour(one, place);
  let path = '';
  let pen = false;
  for (const [at, value] of points) {
    if (value === null) { pen = false; continue; }
    path += `${pen ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  }
  const known = points.filter(([, value]) => value !== null);
  if (plot.series.length === 1 && known.length > 1 && known.length === points.length) {
    parts.push(s('path', { d: `${path}L${x(known[known.length - 1][0])} ${y(floor)}L${x(known[0][0])} ${y(floor)}Z`, class: `area ${paint}` }));
  }
  parts.push(s('path', { d: path, class: `line ${paint}${dashed ? ' dashed' : ''}` }));
  // A point without neighbours is drawn as a dot.
  points.forEach(([at, value], n) => {
    const alone = (points[n - 1]?.[1] ?? null) === null && (points[n + 1]?.[1] ?? null) === null;
    if (value !== null && (alone || (plot.marks && value > 0))) parts.push(s('circle', { cx: x(at), cy: y(value), r: 2.5, class: `dot ${paint}` }));
  });
  return parts;
}

/** Returns the sample that is nearest to a time; null without samples. */
function nearest(points, at) {
  return points.reduce((a, b) => (a === null || Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a), null);
}

/** Draws a plot; returns what moves the crosshair. */
function draw(svg, plot, width, shown) {
  const scale = scales(plot, width);
  const { inner, seen, x, y } = scale;
  svg.setAttribute('viewBox', `0 0 ${width} ${plot.height}`);
  svg.setAttribute('height', plot.height);
  clips += 1;
  const clip = `clip${clips}`;
  // The first series is drawn on top.
  const lines = plot.series.map((one, place) => line(plot, one, place, scale)).reverse().flat();
  const cursor = s('line', { y1: EDGES.top, y2: EDGES.top + inner.h, class: 'cursor', visibility: 'hidden' });
  const dots = s('g', { 'aria-hidden': 'true' });
  const range = s('rect', { y: EDGES.top, height: inner.h, class: 'range', visibility: 'hidden' });
  svg.replaceChildren(
    s('clipPath', { id: clip }, s('rect', { x: EDGES.left - 3, y: 0, width: inner.w + 6, height: plot.height })),
    ...grid(plot, scale, width), s('g', { 'clip-path': `url(#${clip})` }, lines), range, cursor, dots);

  function point(isByKey) {
    const at = plot.axis.cursor;
    const found = at === null ? null : nearest(seen, at);
    cursor.setAttribute('visibility', found ? 'visible' : 'hidden');
    if (found) ['x1', 'x2'].forEach((name) => cursor.setAttribute(name, x(found[0])));
    const values = plot.series.map(({ points }) => (found ? points.find(([when]) => when === found[0])?.[1] ?? null : null));
    dots.replaceChildren(...values.flatMap((value, place) => (value === null ? [] : [s('circle', { cx: x(found[0]), cy: y(value), r: 3.5, class: `dot ${colour(plot.series[place], place)}` })])));
    const texts = values.map((value) => (value === null ? '' : `${value.toFixed(plot.digits)}${plot.unit}`));
    shown.values.forEach((node, place) => { node.textContent = texts[place]; });
    const when = found ? `${hour(found[0], true)} (${ago(found[0])})` : '';
    shown.name.textContent = found && shown.values.length === 0 ? `${when}  ${texts.join('')}` : when;
    // The legend has the values of several lines; a screen reader hears them with their names.
    shown.spoken.textContent = found && isByKey && document.activeElement === svg ? `${when} ${plot.series.map(({ name }, place) => (texts[place] ? `${name} ${texts[place]}` : '')).filter(Boolean).join(', ')}` : '';
  }

  point(false);
  return { scale, point, range };
}

/** Crosshair by the pointer; a drag along the plot zooms, a double click resets. */
function byPointer(svg, axis, drawn) {
  let from = null;
  const place = (event) => event.clientX - svg.getBoundingClientRect().left;
  const stop = () => {
    from = null;
    axis.isDragged = false;
    drawn().range.setAttribute('visibility', 'hidden');
  };
  svg.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    from = place(event);
    axis.isDragged = true;
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener('pointermove', (event) => {
    const { scale, range } = drawn();
    const at = place(event);
    pointTo(axis, scale.time(at), false);
    if (from === null) return;
    range.setAttribute('x', Math.min(from, at));
    range.setAttribute('width', Math.abs(at - from));
    range.setAttribute('visibility', Math.abs(at - from) > DRAG ? 'visible' : 'hidden');
  });
  svg.addEventListener('pointerup', (event) => {
    const [began, ended] = [from, place(event)];
    stop();
    if (began === null || Math.abs(ended - began) <= DRAG) return;
    const { scale } = drawn();
    zoomTo(axis, [began, ended].sort((a, b) => a - b).map((at) => Math.min(Math.max(scale.time(at), scale.from), scale.to)));
  });
  svg.addEventListener('pointercancel', stop);
  svg.addEventListener('dblclick', () => zoomTo(axis, null));
  svg.addEventListener('pointerleave', () => { if (from === null) pointTo(axis, null, false); });
}

/** Crosshair and zoom by keys. */
function byKeys(svg, axis, drawn) {
  svg.addEventListener('keydown', (event) => {
    const { scale } = drawn();
    const times = [...new Set(scale.seen.map(([at]) => at))].sort((a, b) => a - b);
    const now = axis.cursor === null ? times.length - 1 : times.indexOf(nearest(scale.seen, axis.cursor)?.[0]);
    const centre = axis.cursor ?? scale.to;
    const span = scale.to - scale.from;
    const zoom = (factor) => zoomTo(axis, [centre - (centre - scale.from) * factor, centre + (scale.to - centre) * factor]);
    const go = (to) => { if (times.length) pointTo(axis, times[Math.min(Math.max(to, 0), times.length - 1)], true); };
    if (event.key === 'ArrowLeft') go(now - (axis.cursor === null ? 0 : 1));
    else if (event.key === 'ArrowRight') go(now + 1);
    else if (event.key === 'Home') go(0);
    else if (event.key === 'End') go(times.length - 1);
    else if ((event.key === '+' || event.key === '=') && span > LEAST_MS) zoom(0.5);
    else if (event.key === '-' && axis.zoom) zoom(2);
    else if ((event.key === '0' || event.key === 'Escape') && axis.zoom) zoomTo(axis, null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  // A refresh replaces the plot and moves the focus to the new one.
  svg.addEventListener('blur', () => setTimeout(() => { if (!document.activeElement?.dataset.key?.startsWith('plot ')) pointTo(axis, null, false); }, 0));
}

/**
 * A plot. {title, series: [{name, points: [[ms, value or null]], dashed?, colour?: good, warn or bad}], axis?, unit?, digits?: 0 for
 * counts, floor?, most?, ceiling?, from?, to?, height?, marks?, note?, sides?: each series is named, also a single one}
 */
export function plot(given) {
  const what = { unit: '', digits: 0, floor: 0, height: 140, axis: timeAxis(), ...given };
  const { axis } = what;
  const isKnown = ({ points }) => points.some(([, value]) => value !== null);
  const isEmpty = !what.series.some(isKnown);
  const caption = h('span', { class: 'name' }, what.title);
  if (isEmpty) return h('figure', { class: 'plot' }, h('figcaption', {}, caption), h('p', { class: 'empty' }, what.note || 'No data yet.'));
  const svg = s('svg', { role: 'img', 'aria-label': words(what), tabindex: '0', 'data-key': `plot ${what.title}`, preserveAspectRatio: 'none' });
  const name = h('span', { class: 'readout' });
  const spoken = h('span', { class: 'unseen', 'aria-live': 'polite', 'aria-atomic': 'true' });
  const isNamed = what.sides || what.series.length > 1;
  const values = isNamed ? what.series.map(() => h('strong', { class: 'value' })) : [];
  // Room for the longest value, so that the crosshair moves nothing.
  const longest = Math.max(...what.series.flatMap(({ points }) => points.map(([, value]) => (value === null ? 0 : value.toFixed(what.digits).length))));
  values.forEach((node) => { node.style.minWidth = `${longest + (what.unit ? what.unit.length + 0.5 : 0)}ch`; });
  const all = h('button', { type: 'button', class: 'quiet reset', key: `reset ${what.title}`, hidden: true, on: { click: () => zoomTo(axis, null) } }, 'Reset zoom');
  const unknown = what.series.filter((one) => !isKnown(one)).map(({ name }) => name);
  const legend = isNamed
    ? h('ul', { class: 'legend' }, what.series.map((one, place) => (isKnown(one) ? h('li', {},
      s('svg', { width: 18, height: 8, 'aria-hidden': 'true' }, s('line', { x1: 0, x2: 18, y1: 4, y2: 4, class: `line ${colour(one, place)}${one.dashed ? ' dashed' : ''}` })), one.name, ' ', values[place]) : null)),
    unknown.length ? h('li', {}, `no data: ${unknown.join(', ')}`) : null)
    : null;
  const figure = h('figure', { class: 'plot' }, h('figcaption', {}, caption, all, name, spoken), svg, legend);
  let width = 0;
  let drawn = null;
  const redraw = () => {
    if (width === 0) return;
    drawn = draw(svg, what, width, { name, spoken, values });
    all.hidden = axis.zoom === null;
  };
  axis.plots.add({ figure, redraw, point: (isByKey) => drawn?.point(isByKey) });
  byPointer(svg, axis, () => drawn);
  byKeys(svg, axis, () => drawn);
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now > 0 && now !== width) {
      width = now;
      redraw();
    }
  }).observe(figure);
  return figure;
}

/** A small line without axes: `value(sample)` of the samples of the last hour. */
export function spark(samples, value, what) {
  const points = samples.map(value);
  if (points.length === 0) return h('span', { class: 'dim' }, '–');
  const [width, height] = [96, 22];
  const most = Math.max(...points);
  const label = `${what} in the last hour: now ${points[points.length - 1]}, highest ${most}`;
  const x = (place) => 1 + (place / Math.max(1, points.length - 1)) * (width - 2);
  const y = (one) => height - 2 - (most ? (one / most) * (height - 4) : 0);
  const path = points.length > 1 ? points.map((one, place) => `${place ? 'L' : 'M'}${x(place).toFixed(1)} ${y(one).toFixed(1)}`).join('') : `M1 ${y(points[0])}H${width - 1}`;
  return h('span', { class: 'spark' },
    s('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label }, s('title', {}, label),
      most ? s('path', { d: `${path}V${height - 1}H1Z`, class: 'area s0' }) : null, s('path', { d: path, class: `line ${most ? 's0' : 'idle'}` })),
    h('span', { class: 'dim', 'aria-hidden': 'true' }, most || ''));
}

/** Bars of equal width: [{label, value, mark?}]; a click on one calls `choose(place)`. */
export function bars(title, all, choose) {
  const most = Math.max(1, ...all.map(({ value }) => value));
  return h('figure', { class: 'bars' }, h('figcaption', {}, title),
    h('div', { class: 'row', 'data-scroll': title }, all.map(({ label, value, mark }, place) => {
      const bar = h('span', { class: 'bar', 'aria-hidden': 'true' });
      bar.style.height = `${Math.round((value / most) * 48)}px`;
      return h('button', {
        type: 'button', class: mark ? 'chosen' : null, key: `bar ${label}`, 'aria-pressed': mark ? 'true' : 'false',
        title: `${many(value, 'call')} of ${label}`, on: { click: () => choose(place) },
      }, h('span', { class: 'many' }, value ? count(value) : ''), h('span', { class: 'unseen' }, `${value ? '' : '0'} call${value === 1 ? '' : 's'} of `), bar, h('span', { class: 'label' }, label));
    })));
}
