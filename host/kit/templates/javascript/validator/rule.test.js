import assert from "node:assert/strict";
import { test } from "node:test";

import { check, settings } from "./rule.js";

test("the bounds are inclusive", () => {
  for (const cadence of [30, 90]) assert.equal(check({ cadence }, settings), undefined);
});

test("the reason names the field, its value and the bounds", () => {
  assert.equal(check({ cadence: 95 }, settings), "cadence is 95, not within 30 and 90");
});

test("a setting changes a bound", () => {
  assert.equal(check({ cadence: 95 }, { ...settings, "max-cadence": 120 }), undefined);
});
