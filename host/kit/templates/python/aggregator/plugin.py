"""The rule as an aggregator of paceline. It seldom changes: the rule is in rule.py."""

import rule
from paceline import KINDS, check_parameters, columns, describe, pack, reporting, rows, unpack, with_settings
from wit_world.exports.aggregation import Output, Shape


class Aggregation:
    @reporting
    def describe(self):
        check_parameters(rule.fold, "state", "score", *rule.FIELDS)
        with_settings(rule.fold, rule.SETTINGS)
        outputs = [Output(name, KINDS[kind]) for name, kind in rule.OUTPUTS.items()]
        return Shape(describe(rule.FIELDS), outputs, rule.STATE_FORMAT)

    @reporting
    def fold(self, batch, scores, groups, states):
        fold = with_settings(rule.fold, rule.SETTINGS)
        states = unpack(states)
        for group, score, row in zip(groups, scores, rows(batch)):
            states[group] = fold(states[group], score, *row)
        return pack(states)

    @reporting
    def merge(self, left, right):
        return pack([_merged(*pair) for pair in zip(unpack(left), unpack(right))])

    @reporting
    def finish(self, states):
        finish = with_settings(rule.finish, rule.SETTINGS)
        return columns(rule.OUTPUTS, [finish(state) for state in unpack(states)])


def _merged(left, right):
    # A state may be falsy: 0, or an empty list.
    if left is None:
        return right
    return left if right is None else rule.merge(left, right)
