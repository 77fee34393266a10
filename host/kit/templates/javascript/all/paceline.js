// Between the rule and the contract in wit/plugin.wit: rows for columns, states as JSON, checks of what the rule gives,
// errors with their line.

import { write } from "paceline:plugin/log@0.2.0";
import { get } from "paceline:plugin/settings@0.2.0";

/** What is wrong with the rule. The message says all: a line of this file would not help. */
class Mistake extends Error {}

const VALID = {
  boolean: (value) => typeof value === "boolean",
  integer: (value) => Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63,
  number: (value) => typeof value === "number",
  text: (value) => typeof value === "string",
};
const WORDS = { boolean: "true or false", integer: "an integer", number: "a number", text: "a text" };

/** Checks the functions of the rule when the plugin is loaded, so that a mistake is shown before records fail by it. */
export function exported(rule, ...names) {
  for (const name of names) {
    const it = rule[name];
    if (typeof it !== "function") {
      throw new Mistake(`rule.js exports no function '${name}', but ${Object.keys(rule).join(", ") || "nothing"}`);
    }
    // A plain function has no such tag.
    if (it[Symbol.toStringTag] !== undefined) {
      throw new Mistake(`'${name}' is async or a generator: it must be a plain function, which returns its value`);
    }
    // The check of a validator may leave out its return. No other function can do without one.
    if (name !== "check" && !/\breturn\b|\bthrow\b|=>|\[native code\]/.test(String(it))) {
      throw new Mistake(`'${name}' returns nothing: it has no return`);
    }
  }
}

/** The error of a function that returned a value of the wrong type for a row. */
export function returned(name, value, wanted, row) {
  const given = row === undefined ? "" : `, for ${shown(row)}`;
  const hint = value === undefined ? " (does rule.js return it?)" : "";
  return new Mistake(`${name} returned ${shown(value)}, not ${wanted}${given}${hint}`);
}

/** A value as a part of a message. */
function shown(value) {
  if (typeof value === "function") return "a function";
  if (value instanceof Promise) return "a promise";
  const text = typeof value === "object" && value !== null && !(value instanceof Error) ? json(value) : undefined;
  return cut(text ?? (typeof value === "string" ? JSON.stringify(value) : String(value)));
}

function cut(text) {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function json(value) {
  try {
    const plain = (_, it) => {
      if (it instanceof Uint8Array) return `${it.length} bytes`;
      return typeof it === "bigint" || (typeof it === "number" && !Number.isFinite(it)) ? String(it) : it;
    };
    return JSON.stringify(value, plain);
  } catch {
    return undefined; // It contains itself.
  }
}

/** An object that rule.js exports. */
function members(name, object) {
  if (typeof object === "object" && object !== null && !Array.isArray(object)) return Object.entries(object);
  throw new Mistake(`the '${name}' that rule.js exports is ${shown(object)}, not an object`);
}

function checkKind(what, kind, kinds) {
  if (!kinds.includes(kind)) {
    throw new Mistake(`the kind of ${what} is ${shown(kind)}: one of ${kinds.map((it) => `"${it}"`).join(", ")}`);
  }
}

/** The rule's fields, for `describe`: `name: "number"`, or `name: { kind: "number", path: "/a/b", default: 50 }`. */
export function describe(fields) {
  return members("fields", fields).map(([name, field]) => {
    const { kind, path = `/${name}`, default: value, ...others } =
      typeof field === "object" && field !== null ? field : { kind: field };
    checkKind(`the field '${name}'`, kind, [...Object.keys(VALID), "blob"]);
    if (typeof path !== "string") throw new Mistake(`the path of '${name}' is ${shown(path)}, not a text`);
    for (const other in others) {
      throw new Mistake(`the field '${name}' has '${other}': it can have kind, path and default`);
    }
    if (value === undefined) return { path, kind, default: undefined };
    if (kind === "blob") throw new Mistake(`'${name}' has a default, which a blob can't have`);
    if (!VALID[kind](value)) throw new Mistake(`the default of '${name}' is ${shown(value)}, not ${WORDS[kind]}`);
    return { path, kind, default: { tag: kind, val: value } };
  });
}

/** The rule's outputs, for `describe`: `name: "number"`. */
export function outputs(kinds) {
  return members("outputs", kinds).map(([name, kind]) => {
    checkKind(`the output '${name}'`, kind, Object.keys(VALID));
    return { name, kind };
  });
}

/** The name of the states' format, for `describe`. */
export function stateFormat(name) {
  if (typeof name === "string") return name;
  throw new Mistake(`the 'stateFormat' that rule.js exports is ${shown(name)}, not a text`);
}

/** The records of a batch, each as an object with the rule's fields. */
export function rows(fields, batch) {
  const names = Object.keys(fields);
  const columns = batch.columns.map((column, at) => values(names[at], column));
  const width = names.length;
  return Array.from({ length: batch.rows }, (_, row) => {
    const record = {};
    for (let at = 0; at < width; at++) record[names[at]] = columns[at][row];
    return record;
  });
}

function values(name, { tag, val }) {
  if (tag === "texts") return texts(val);
  if (tag === "blobs") return slices(val);
  if (tag === "integers") {
    const unsafe = val.find((value) => !Number.isSafeInteger(value));
    if (unsafe !== undefined) throw new Mistake(`${name} is ${unsafe}, which a number of JavaScript can't hold`);
  }
  return val;
}

/** The settings of the rulebook, each with the type of its default. A default of `undefined` makes it required. */
export function settings(defaults = {}) {
  const read = ([name, standard]) => {
    if (!["boolean", "number", "string", "undefined"].includes(typeof standard)) {
      const wanted = "a number, a text, true or false, or undefined for a required setting";
      throw new Mistake(`the default of the setting '${name}' is ${shown(standard)}: ${wanted}`);
    }
    const given = get(name);
    if (given == null && standard === undefined) throw new Mistake(`setting \`${name}\` is missing`);
    if (given == null) return [name, standard];
    if (typeof standard === "boolean") {
      if (given !== "true" && given !== "false") {
        throw new Mistake(`setting \`${name}\` is \`${given}\`, neither true nor false`);
      }
      return [name, given === "true"];
    }
    if (typeof standard !== "number") return [name, given];
    if (given.trim() === "" || !Number.isFinite(Number(given))) {
      throw new Mistake(`setting \`${name}\` is \`${given}\`, not a number`);
    }
    return [name, Number(given)];
  };
  return Object.fromEntries(members("settings", defaults).map(read));
}

/** The states of groups; that of a new group is `undefined`. */
export function unpack(states) {
  return texts(states).map((json) => (json === "" ? undefined : JSON.parse(json)));
}

/**
 * States as bytes: JSON. `JSON.stringify` makes `null` of a number that is not finite, and `{}` of a map, a set or a promise:
 * the next batch would go on with that.
 */
export function pack(states) {
  const texts = states.map(encoded);
  // Looking at each value costs more than writing it.
  const all = texts.join("");
  if (all.includes("null") || all.includes("{}")) states.forEach((state) => JSON.stringify(state, lossless));
  return utf8(texts);
}

function encoded(state) {
  if (state === undefined) return "";
  const json = JSON.stringify(state);
  if (json === undefined) throw new Mistake(`the state is ${shown(state)}, which JSON can't hold`);
  return json;
}

function lossless(name, value) {
  const lost =
    (typeof value === "number" && !Number.isFinite(value) && String(value)) ||
    (value instanceof Map && "a Map") ||
    (value instanceof Set && "a Set") ||
    (value instanceof Promise && "a promise");
  if (lost) throw new Mistake(`the state${name === "" ? "" : `'s ${name}`} is ${lost}, which JSON can't hold`);
  return value;
}

/** The outputs of each group as columns. A value that is `undefined` is not written, if it is a number. */
export function columns(outputs, groups) {
  const other = groups.findIndex((group) => typeof group !== "object" || group === null);
  if (other !== -1) throw returned("finish", groups[other], "an object with the outputs");
  return Object.entries(outputs).map(([name, kind]) => {
    let column = groups.map((group) => group[name]);
    if (kind === "number") column = column.map((value) => value ?? NaN);
    const wrong = column.findIndex((value) => !VALID[kind](value));
    if (wrong !== -1) {
      throw new Mistake(`finish returned '${name}' as ${shown(column[wrong])}, not as ${WORDS[kind]}`);
    }
    return { tag: `${kind}s`, val: kind === "text" ? utf8(column) : column };
  });
}

/** The functions of an interface, whose errors name the line of the rule. */
export function reporting(functions) {
  const wrap = ([name, call]) => [name, (...args) => reported(call, args)];
  return Object.fromEntries(Object.entries(functions).map(wrap));
}

let running = false;

function reported(call, args) {
  running = true;
  try {
    return call(...args);
  } catch (error) {
    // The contract has texts as errors. Anything else would trap.
    if (typeof error === "string") throw error;
    if (error instanceof Mistake) throw error.message;
    if (!(error instanceof Error)) throw `rule.js threw ${shown(error)}`;
    const lines = Array.from((error.stack ?? "").matchAll(/\/([\w.-]+\.js:\d+)/g), ([, line]) => line);
    const line = lines.find((line) => !/^(paceline|plugin)\.js:/.test(line)) ?? lines[0];
    throw `${error.name}: ${error.message}${line ? `, at ${line}` : ""}`;
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

// The engine has no console. Each line is a line of the host's log.
function logger(level) {
  return (...values) => {
    // The log is the host's, and there is no host during the build.
    if (!running) throw new Error("console works in the functions of the rule only");
    const part = (value) => (typeof value === "string" ? value : value instanceof Error ? String(value) : shown(value));
    for (const line of values.map(part).join(" ").split("\n")) write(level, line);
  };
}

globalThis.console = {
  log: logger("info"),
  debug: logger("debug"),
  info: logger("info"),
  warn: logger("warn"),
  error: logger("error"),
};

// A plugin has no clock. The engine's functions that read it would trap without a text, and give the time of the build
// where rule.js calls them outside its functions.
function noClock() {
  throw new Error("a plugin has no clock: read the time from a field, such as @arrival-ms");
}

Date.now = noClock;
globalThis.performance = { now: noClock };
globalThis.Date = new Proxy(Date, {
  apply: noClock,
  construct: (date, values, type) => (values.length === 0 ? noClock() : Reflect.construct(date, values, type)),
});
Date.prototype.constructor = Date;
