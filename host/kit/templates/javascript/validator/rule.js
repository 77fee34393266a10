// The rule: one record in, the reason to reject it out. It is plain JavaScript, so that `npm test` runs it without a host.

/** What it reads from a record: the member `/cadence`. */
export const fields = { cadence: "number" };

/** The settings of the rulebook, with their defaults. */
export const settings = { "min-cadence": 30, "max-cadence": 90 };

/** Why the record is rejected; `undefined` if it is accepted. */
export function check({ cadence }, { "min-cadence": min, "max-cadence": max }) {
  if (cadence >= min && cadence <= max) return undefined;
  return `cadence is ${cadence}, not within ${min} and ${max}`;
}
