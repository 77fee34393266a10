// The rule as an aggregator of paceline. It seldom changes: the rule is in rule.js.

import { columns, describe, pack, reporting, rows, settings, unpack } from "./paceline.js";
import * as rule from "./rule.js";

export const aggregation = reporting({
  describe() {
    settings(rule.settings);
    const outputs = Object.entries(rule.outputs).map(([name, kind]) => ({ name, kind }));
    return { fields: describe(rule.fields), outputs, stateFormat: rule.stateFormat };
  },
  fold(batch, scores, groups, packed) {
    const given = settings(rule.settings);
    const states = unpack(packed);
    rows(rule.fields, batch).forEach((record, row) => {
      const group = groups[row];
      states[group] = rule.fold(states[group], record, scores[row], given);
    });
    return pack(states);
  },
  merge(left, right) {
    const others = unpack(right);
    const merged = (state, at) => {
      if (state === undefined) return others[at];
      return others[at] === undefined ? state : rule.merge(state, others[at]);
    };
    return pack(unpack(left).map(merged));
  },
  finish(states) {
    const given = settings(rule.settings);
    return columns(rule.outputs, unpack(states).map((state) => rule.finish(state, given)));
  },
});
