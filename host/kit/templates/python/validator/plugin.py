"""The rule as a validator of paceline. It seldom changes: the rule is in rule.py."""

# First: it replaces what a plugin has not, such as the clock, before rule.py can use it.
from paceline import check, describe, reporting, returned, rows, settings, with_settings
import rule
from wit_world.exports.validation import Rejection


class Validation:
    @reporting
    def describe(self):
        fields = describe(rule)
        check(rule, ("check", rule.FIELDS, settings(rule)))
        with_settings(rule.check, settings(rule))
        return fields

    @reporting
    def validate(self, batch):
        check = with_settings(rule.check, settings(rule))
        reasons = enumerate(check(*row) for row in rows(batch))
        rejections = [Rejection(row, reason) for row, reason in reasons if reason is not None]
        for it in rejections:
            if not isinstance(it.reason, str):
                raise returned("check", it.reason, "a str or None", rule, list(rows(batch))[it.row])
        return rejections
