// The rule: one record in, its score out. It is plain JavaScript, so that `npm test` runs it without a host.

/** What it reads from a record: the member `/cadence`, and `/resistance` with a default. */
export const fields = {
  cadence: "number",
  resistance: { kind: "number", default: 50 },
};

/** The settings of the rulebook, with their defaults. */
export const settings = {};

/** The racer's output. */
export function score({ cadence, resistance }) {
  return ((cadence + 35) * (resistance + 65)) / 100;
}
