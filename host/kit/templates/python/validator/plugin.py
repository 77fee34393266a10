"""The rule as a validator of paceline. It seldom changes: the rule is in rule.py."""

import rule
from paceline import check_parameters, describe, reporting, rows, with_settings
from wit_world.exports.validation import Rejection


class Validation:
    @reporting
    def describe(self):
        check_parameters(rule.check, *rule.FIELDS)
        with_settings(rule.check, rule.SETTINGS)
        return describe(rule.FIELDS)

    @reporting
    def validate(self, batch):
        check = with_settings(rule.check, rule.SETTINGS)
        reasons = enumerate(check(*row) for row in rows(batch))
        return [Rejection(row, reason) for row, reason in reasons if reason is not None]
