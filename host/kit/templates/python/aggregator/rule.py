"""The rule: the records of a group, one after the other, in; the group's outputs out. It is plain Python, so that
`python3 -m unittest` runs it without a host."""

# What it reads from a record: the member `/second`. The parameters of `fold` after the score have the same names.
FIELDS = {"second": int}

# What is written of each group.
OUTPUTS = {"output": float, "second": int}

# The settings of the rulebook, with their defaults: parameters of `fold` and `finish` after a `*`.
SETTINGS = {}

# The name of what `fold` returns. Another name for another meaning: stored states outlive the plugin.
STATE_FORMAT = "@NAME@/1"


def fold(state, score, second):
    """The state of a group after one more record. The state of a new group is `None`."""
    # -0.0 is equal to 0.0 and has other bytes; the sum with 0.0 is never -0.0.
    record = {"output": score + 0.0, "second": second}
    return record if state is None else merge(state, record)


def merge(left, right):
    """Two states of one group that were folded apart, as one. The order must not matter."""
    if left["output"] != right["output"]:
        return left if left["output"] > right["output"] else right
    return left if left["second"] <= right["second"] else right


def finish(state):
    """The outputs: the best score, and the first second that had it."""
    return {"output": state["output"], "second": state["second"]}
