import assert from "node:assert/strict";
import { test } from "node:test";

import { score } from "./rule.js";

test("a stronger and faster racer has more output", () => {
  assert.equal(score({ cadence: 81, resistance: 79 }), 167.04);
  assert.ok(score({ cadence: 82, resistance: 80 }) > 167.04);
});
