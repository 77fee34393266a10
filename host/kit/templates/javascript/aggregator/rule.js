// The rule: the records of a group, one after the other, in; the group's outputs out. It is plain JavaScript, so that
// `npm test` runs it without a host.

/** What it reads from a record: the member `/second`. */
export const fields = { second: "integer" };

/** What is written of each group. */
export const outputs = { output: "number", second: "integer" };

/** The settings of the rulebook, with their defaults. */
export const settings = {};

/** The name of what `fold` returns. Another name for another meaning: stored states outlive the plugin. */
export const stateFormat = "@NAME@/1";

/** The state of a group after one more record. The state of a new group is `undefined`. */
export function fold(state, { second }, score) {
  return merge(state, { output: score, second });
}

/** Two states of one group that were folded apart, as one. The order must not matter. */
export function merge(left, right) {
  if (left === undefined || right === undefined) return left ?? right;
  if (left.output !== right.output) return left.output > right.output ? left : right;
  return left.second <= right.second ? left : right;
}

/** The outputs: the best score, and the first second that had it. */
export function finish({ output, second }) {
  return { output, second };
}
