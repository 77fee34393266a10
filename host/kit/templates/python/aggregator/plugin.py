"""The rule as an aggregator of paceline. It seldom changes: the rule is in rule.py."""

# First: it replaces what a plugin has not, such as the clock, before rule.py can use it.
from paceline import (
    check,
    columns,
    describe,
    outputs,
    pack,
    reporting,
    returned,
    rows,
    settings,
    state_format,
    unpack,
    with_settings,
)
import rule
from wit_world.exports.aggregation import Output, Shape


class Aggregation:
    @reporting
    def describe(self):
        shape = Shape(describe(rule), outputs(rule, Output), state_format(rule))
        given = settings(rule)
        check(
            rule,
            ("fold", ("state", "score", *rule.FIELDS), given),
            ("merge", None, {}),
            ("finish", None, given),
        )
        with_settings(rule.fold, given)
        return shape

    @reporting
    def fold(self, batch, scores, groups, states):
        fold = with_settings(rule.fold, settings(rule))
        states = unpack(states)
        for group, score, row in zip(groups, scores, rows(batch)):
            state = fold(states[group], score, *row)
            # A new group may stay without a state. What a group has is not lost by a forgotten return.
            if state is None and states[group] is not None:
                raise returned("fold", state, "a state", rule, row)
            states[group] = state
        return pack(states)

    @reporting
    def merge(self, left, right):
        return pack([_merged(*pair) for pair in zip(unpack(left), unpack(right))])

    @reporting
    def finish(self, states):
        finish = with_settings(rule.finish, settings(rule))
        return columns(rule.OUTPUTS, [finish(state) for state in unpack(states)])


def _merged(left, right):
    # A state may be falsy: 0, or an empty list.
    if left is None:
        return right
    if right is None:
        return left
    both = rule.merge(left, right)
    if both is None:
        raise returned("merge", both, "a state")
    return both
