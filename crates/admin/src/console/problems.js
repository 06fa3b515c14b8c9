// Problems of `/v1/status`: their colour, and their parts as all pages show them.

import { h, rich } from './dom.js';
import { lasting, local, masked } from './format.js';

/** Colours of what a problem of `/v1/status` harms; all others are neutral. */
export const HARMS = { edge: 'bad', calls: 'bad', media: 'bad', detour: 'warn', restart: 'warn', records: 'warn' };

/** The colour of a problem: that of its harm; what is not written while a disk refuses it is lost. */
const harmOf = ({ harm, kind }) => (['recordings_not_written', 'call_records_not_written'].includes(kind) ? 'bad' : HARMS[harm] || 'plain');

/** The same; no call has met what is unmet. */
export const colourOf = (problem) => (problem.unmet && harmOf(problem) === 'bad' ? 'warn' : harmOf(problem));

/** Returns a problem of `status` with a link to its call, or to what it is of. */
export function problem({ headline, evidence, fix, command, harm, kind, unmet, since, link, name }) {
  const sid = /^trunkgate trace (CA[0-9a-f]+)$/.exec(command || '')?.[1];
  return { kind: colourOf({ harm, unmet, kind }), since, text: local(masked(headline)), evidence: evidence && local(masked(evidence)), fix: masked(fix || (sid ? '' : command)), ...(sid ? { link: `#/calls/${sid}`, name: 'Open the call' } : { link, name }) };
}

/** Headline and age of a problem. */
export function headline({ text, since }) {
  return [h('strong', {}, rich(text)), since ? [' ', h('time', { datetime: since, title: since, class: 'since' }, `(${lasting(since)})`)] : null];
}

/** Evidence and fix of a problem, with its link. */
export function parts({ evidence, fix, link, name }) {
  return [evidence ? h('span', { class: 'evidence' }, rich(evidence)) : null, fix ? h('span', { class: 'fix' }, 'Try: ', rich(fix)) : null, link ? h('a', { href: link, key: `link ${link}` }, name) : null];
}

/** All parts of a problem. */
export const inParts = (one) => [headline(one), parts(one)];

/** Problems in a list; null without any. */
export function problemList(all) {
  return all.length ? h('ul', { class: 'problems' }, all.map(problem).map((one) => h('li', { class: one.kind }, inParts(one)))) : null;
}
