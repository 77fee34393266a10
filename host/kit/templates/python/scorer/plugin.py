"""The rule as a scorer of paceline. It seldom changes: the rule is in rule.py."""

import rule
from paceline import check_parameters, describe, reporting, rows, with_settings


class Scoring:
    @reporting
    def describe(self):
        check_parameters(rule.score, *rule.FIELDS)
        with_settings(rule.score, rule.SETTINGS)
        return describe(rule.FIELDS)

    @reporting
    def score(self, batch):
        score = with_settings(rule.score, rule.SETTINGS)
        return [score(*row) for row in rows(batch)]
