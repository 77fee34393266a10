// The rule as a scorer of paceline. It seldom changes: the rule is in rule.js.

import { describe, reporting, rows, settings } from "./paceline.js";
import * as rule from "./rule.js";

export const scoring = reporting({
  describe() {
    settings(rule.settings);
    return describe(rule.fields);
  },
  score(batch) {
    const given = settings(rule.settings);
    return rows(rule.fields, batch).map((row) => rule.score(row, given));
  },
});
