// The rule of climbs in JavaScript, the twin of ../src/lib.rs: `paceline plugin new climb --kind scorer --lang javascript`
// makes the project around it.

/** What it reads from a record. */
export const fields = {
  cadence: "number",
  resistance: "number",
};

/** The resistance above which it is a climb, in percent, and how often each percent above it counts. */
export const settings = { threshold: 60, weight: 2 };

/** The output in watts, where resistance above the threshold weighs more. */
export function score({ cadence, resistance }, { threshold, weight }) {
  const above = Math.max(resistance - threshold, 0);
  const weighted = resistance + (weight - 1) * above;
  return ((cadence + 35) * (weighted + 65)) / 100;
}
