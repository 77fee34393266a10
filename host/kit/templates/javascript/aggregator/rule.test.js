import assert from "node:assert/strict";
import { test } from "node:test";

import { finish, fold, merge } from "./rule.js";

/** The state of a group after these records: pairs of a second and a score. */
const folded = (...records) => records.reduce((state, [second, score]) => fold(state, { second }, score), undefined);

test("the best score counts, and the first second that had it", () => {
  assert.deepEqual(finish(folded([1, 70], [2, 80.5], [3, 80.5], [4, 60])), { output: 80.5, second: 2 });
});

test("states that were folded apart are merged in any order", () => {
  const [left, right] = [folded([1, 70], [4, 80.5]), folded([2, 80.5])];
  assert.deepEqual(merge(left, right), folded([1, 70], [2, 80.5], [4, 80.5]));
  assert.deepEqual(merge(left, right), merge(right, left));
});
