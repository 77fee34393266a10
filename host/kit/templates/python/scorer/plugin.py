"""The rule as a scorer of paceline. It seldom changes: the rule is in rule.py."""

# First: it replaces what a plugin has not, such as the clock, before rule.py can use it.
from paceline import check, describe, numbers, reporting, rows, settings, with_settings
import rule


class Scoring:
    @reporting
    def describe(self):
        fields = describe(rule)
        check(rule, ("score", rule.FIELDS, settings(rule)))
        with_settings(rule.score, settings(rule))
        return fields

    @reporting
    def score(self, batch):
        score = with_settings(rule.score, settings(rule))
        return numbers([score(*row) for row in rows(batch)], rule, batch)
