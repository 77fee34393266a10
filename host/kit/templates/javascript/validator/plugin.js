// The rule as a validator of paceline. It seldom changes: the rule is in rule.js.

import { describe, reporting, rows, settings } from "./paceline.js";
import * as rule from "./rule.js";

export const validation = reporting({
  describe() {
    settings(rule.settings);
    return describe(rule.fields);
  },
  validate(batch) {
    const given = settings(rule.settings);
    const reasons = rows(rule.fields, batch).map((record, row) => ({ row, reason: rule.check(record, given) }));
    return reasons.filter(({ reason }) => reason !== undefined);
  },
});
