// The rule as a scorer of paceline. It seldom changes: the rule is in rule.js.

// First: it replaces what a plugin has not, such as the clock, before rule.js can use it.
import { describe, exported, reporting, returned, rows, settings } from "./paceline.js";
import * as rule from "./rule.js";

export const scoring = reporting({
  describe() {
    exported(rule, "score");
    settings(rule.settings);
    return describe(rule.fields);
  },
  score(batch) {
    const { score } = rule;
    const given = settings(rule.settings);
    return rows(rule.fields, batch).map((row) => {
      const output = score(row, given);
      if (typeof output !== "number") throw returned("score", output, "a number", row);
      return output;
    });
  },
});
