// The rule as a validator of paceline. It seldom changes: the rule is in rule.js.

// First: it replaces what a plugin has not, such as the clock, before rule.js can use it.
import { describe, exported, reporting, returned, rows, settings } from "./paceline.js";
import * as rule from "./rule.js";

export const validation = reporting({
  describe() {
    exported(rule, "check");
    settings(rule.settings);
    return describe(rule.fields);
  },
  validate(batch) {
    const { check } = rule;
    const given = settings(rule.settings);
    const rejections = [];
    rows(rule.fields, batch).forEach((record, row) => {
      const reason = check(record, given);
      if (reason == null) return;
      if (typeof reason !== "string") throw returned("check", reason, "a text or undefined", record);
      rejections.push({ row, reason });
    });
    return rejections;
  },
});
