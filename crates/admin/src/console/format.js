// Formats times, durations, phone numbers and states.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: '2-digit' });

/** Time of day, with the date unless it is today. */
export function time(text) {
  if (!text) return '–';
  const at = new Date(text);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
}

/** Date and time of day. */
export function dated(text) {
  if (!text) return '–';
  const at = new Date(text);
  const year = at.getFullYear() === new Date().getFullYear() ? '' : ` ${at.getFullYear()}`;
  return `${day.format(at)}${year} ${clock.format(at)}`;
}

/** Time of day with milliseconds. */
export function clocked(ms) {
  return `${clock.format(new Date(ms))}.${String(Math.floor(ms % 1000)).padStart(3, '0')}`;
}

/** The time zone of the pages: `UTC`, `UTC+9`, `UTC−3:30`. */
export function zone(at = new Date()) {
  const minutes = -at.getTimezoneOffset();
  if (minutes === 0) return 'UTC';
  const [whole, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? '−' : '+'}${whole}${rest ? `:${String(rest).padStart(2, '0')}` : ''}`;
}

/** 0.4 s, 41 s, 3 min 05 s, 2 h 10 min, 12 d 4 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return '–';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (n) => String(n).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}

/** Milliseconds: 340 ms, 4.3 s, 27.5 s, 3 min 05 s. */
export function lapse(ms, digits = 0) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1000) return `${ms.toFixed(digits)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms / 1000);
}

/** Since when something lasts: `since 12:58:16, 3 min 05 s`. */
export function lasting(text) {
  return `since ${time(text)}, ${duration(Math.max(0, (Date.now() - new Date(text)) / 1000))}`;
}

export function ago(text) {
  return text ? `${duration(Math.max(0, (Date.now() - new Date(text)) / 1000))} ago` : '–';
}

/** Milliseconds since the first message. */
export function offset(us) {
  if (us < 1_000_000) return `+${(us / 1000).toFixed(1)} ms`;
  return `+${(us / 1_000_000).toFixed(3)} s`;
}

/** Seconds from the answer to the end, or until now; null if the call was not answered. */
export function talked(call) {
  if (!call.answered_at) return null;
  const end = call.ended_at ? new Date(call.ended_at) : new Date();
  return Math.max(0, (end - new Date(call.answered_at)) / 1000);
}

const MASK = 'trunkgate.numbers';

export function numbersAreMasked() {
  return sessionStorage.getItem(MASK) !== 'full';
}

export function maskNumbers(on) {
  sessionStorage.setItem(MASK, on ? 'masked' : 'full');
}

/** Masks a phone number as the log does, unless full numbers are selected: what has seven digits is a number, and a short one is hidden whole. */
export function number(text) {
  if (!text) return 'anonymous';
  if (!numbersAreMasked() || text.replace(/\D/g, '').length < 7) return text;
  const shown = [...text];
  return shown.length < 11 ? '****' : `${shown.slice(0, 5).join('')}****${shown.slice(-3).join('')}`;
}

/** Masks the phone numbers in a sentence, unless full numbers are selected. A sid is no number, nor is a pattern such as `+14155550*`. */
export function masked(text) {
  return numbersAreMasked() ? String(text ?? '').replace(/(?<![\w*])\+?\d{7,}(?![\w*])/g, (found) => number(found)) : String(text ?? '');
}

export function figure(value, digits = 1, unit = '') {
  return value === null || value === undefined ? '–' : `${Number(value).toFixed(digits)}${unit}`;
}

export function count(value) {
  return Number(value || 0).toLocaleString('en').replaceAll(',', '\u202f');
}

/** Count with its noun: 1 call, 2 calls. */
export function many(value, word) {
  return `${count(value)} ${word}${value === 1 ? '' : 's'}`;
}

export function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let place = 0;
  while (value >= 1024 && place < units.length - 1) { value /= 1024; place += 1; }
  return `${value.toFixed(place ? 1 : 0)} ${units[place]}`;
}

/** Colour of a chip for a state of a trunk, an agent or a call. */
export function kind(state) {
  if (['up', 'ready', 'answered', 'registered'].includes(state)) return 'good';
  if (['down', 'failed', 'refused', 'one_way'].includes(state)) return 'bad';
  if (['skipped', 'draining', 'starting', 'no_answer', 'busy', 'failed_over', 'trying', 'ringing', 'early', 'held', 'transferring'].includes(state)) return 'warn';
  return 'plain';
}

/** The name of a character: U+202E. */
export function codePoint(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Characters without a shape that change how the text around them is shown: controls and those that turn its direction. */
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** A text with its invisible characters by their names. */
export function plain(text) {
  return text.replace(HIDDEN, (found) => `⟨${codePoint(found)}⟩`);
}

/** A text with its times in UTC as those of the page. */
export function local(text) {
  return String(text ?? '').replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (found) => dated(found));
}

/** Slug as words. */
export function words(slug) {
  return (slug || '').replaceAll('_', ' ');
}
