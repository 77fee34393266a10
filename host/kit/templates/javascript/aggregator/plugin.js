// The rule as an aggregator of paceline. It seldom changes: the rule is in rule.js.

// First: it replaces what a plugin has not, such as the clock, before rule.js can use it.
import {
  columns,
  describe,
  exported,
  outputs,
  pack,
  reporting,
  returned,
  rows,
  settings,
  stateFormat,
  unpack,
} from "./paceline.js";
import * as rule from "./rule.js";

export const aggregation = reporting({
  describe() {
    exported(rule, "fold", "merge", "finish");
    settings(rule.settings);
    return {
      fields: describe(rule.fields),
      outputs: outputs(rule.outputs),
      stateFormat: stateFormat(rule.stateFormat),
    };
  },
  fold(batch, scores, groups, packed) {
    const { fold } = rule;
    const given = settings(rule.settings);
    const states = unpack(packed);
    rows(rule.fields, batch).forEach((record, row) => {
      const group = groups[row];
      const state = fold(states[group], record, scores[row], given);
      // A new group may stay without a state. What a group has is not lost by a forgotten return.
      if (state === undefined && states[group] !== undefined) throw returned("fold", state, "a state", record);
      states[group] = state;
    });
    return pack(states);
  },
  merge(left, right) {
    const others = unpack(right);
    const merged = (state, at) => {
      if (state === undefined) return others[at];
      if (others[at] === undefined) return state;
      const both = rule.merge(state, others[at]);
      if (both === undefined) throw returned("merge", both, "a state");
      return both;
    };
    return pack(unpack(left).map(merged));
  },
  finish(states) {
    const given = settings(rule.settings);
    return columns(rule.outputs, unpack(states).map((state) => rule.finish(state, given)));
  },
});
