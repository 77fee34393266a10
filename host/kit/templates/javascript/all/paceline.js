// Between the rule and the contract in wit/plugin.wit: rows for columns, states as JSON, errors with their line.

import { get } from "paceline:plugin/settings@0.2.0";

/** The rule's fields, for `describe`: `name: "number"`, or `name: { kind: "number", path: "/a/b", default: 50 }`. */
export function describe(fields) {
  return Object.entries(fields).map(([name, field]) => {
    const { kind, path = `/${name}`, default: value } = typeof field === "string" ? { kind: field } : field;
    return { path, kind, default: value === undefined ? undefined : { tag: kind, val: value } };
  });
}

/** The records of a batch, each as an object with the rule's fields. */
export function rows(fields, batch) {
  const names = Object.keys(fields);
  const columns = batch.columns.map((column, at) => values(names[at], column));
  return Array.from({ length: batch.rows }, (_, row) => {
    const record = {};
    for (let at = 0; at < names.length; at++) record[names[at]] = columns[at][row];
    return record;
  });
}

function values(name, { tag, val }) {
  if (tag === "texts") return texts(val);
  if (tag === "blobs") return slices(val);
  if (tag === "integers") {
    const unsafe = val.find((value) => !Number.isSafeInteger(value));
    if (unsafe !== undefined) throw new Error(`${name} is ${unsafe}, which a number of JavaScript can't hold`);
  }
  return val;
}

/** The settings of the rulebook, each with the type of its default. A default of `undefined` makes it required. */
export function settings(defaults) {
  const read = ([name, standard]) => {
    const given = get(name);
    if (given == null && standard === undefined) throw new Error(`setting \`${name}\` is missing`);
    if (given == null) return [name, standard];
    if (typeof standard === "boolean") {
      if (given !== "true" && given !== "false") {
        throw new Error(`setting \`${name}\` is \`${given}\`, neither true nor false`);
      }
      return [name, given === "true"];
    }
    if (typeof standard !== "number") return [name, given];
    if (given.trim() === "" || !Number.isFinite(Number(given))) {
      throw new Error(`setting \`${name}\` is \`${given}\`, not a number`);
    }
    return [name, Number(given)];
  };
  return Object.fromEntries(Object.entries(defaults).map(read));
}

/** The states of groups; that of a new group is `undefined`. */
export function unpack(states) {
  return texts(states).map((json) => (json === "" ? undefined : JSON.parse(json)));
}

/** States as bytes: JSON. */
export function pack(states) {
  return utf8(states.map((state) => (state === undefined ? "" : encoded(state))));
}

/** A state as JSON. `JSON.stringify` makes `null` of a number that is not finite: the next batch would go on with that. */
function encoded(state) {
  const json = JSON.stringify(state);
  if (json === undefined) throw new Error(`the state is ${String(state)}, which JSON can't hold`);
  // Looking at each value costs more than writing it.
  if (json.includes("null")) JSON.stringify(state, finite);
  return json;
}

function finite(name, value) {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new Error(`the state${name === "" ? "" : `'s ${name}`} is ${value}, which JSON can't hold`);
  }
  return value;
}

/** The outputs of each group as columns. A value that is `undefined` is not written, if it is a number. */
export function columns(outputs, groups) {
  return Object.entries(outputs).map(([name, kind]) => {
    const column = groups.map((group) => group[name]);
    if (kind === "text") return { tag: "texts", val: utf8(column) };
    if (kind === "number") return { tag: "numbers", val: column.map((value) => value ?? NaN) };
    return { tag: `${kind}s`, val: column };
  });
}

/** The functions of an interface, whose errors name the line of the rule. */
export function reporting(functions) {
  const wrap = ([name, call]) => [name, (...args) => reported(call, args)];
  return Object.fromEntries(Object.entries(functions).map(wrap));
}

function reported(call, args) {
  try {
    return call(...args);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const line = /\/([\w.-]+\.js:\d+)/.exec(error.stack ?? "");
    throw `${error.name}: ${error.message}${line ? `, at ${line[1]}` : ""}`;
  }
}

/** Values that lie end to end, one by one. */
function slices({ ends, bytes }) {
  return Array.from(ends, (end, at) => bytes.slice(at === 0 ? 0 : ends[at - 1], end));
}

/** Texts in UTF-8, one by one. The engine has no TextDecoder. */
function texts({ ends, bytes }) {
  const all = atob(bytes.toBase64());
  const values = slices({ ends, bytes: all });
  return /[^\0-\x7f]/.test(all) ? values.map((value) => decodeURIComponent(escape(value))) : values;
}

/** Texts as UTF-8, end to end. The engine has no TextEncoder. */
function utf8(texts) {
  const all = texts.join("");
  if (/[^\0-\x7f]/.test(all)) texts = texts.map((value) => unescape(encodeURIComponent(value)));
  let length = 0;
  const ends = texts.map((value) => (length += value.length));
  return { ends, bytes: Uint8Array.fromBase64(btoa(texts.join(""))) };
}
