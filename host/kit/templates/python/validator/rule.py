"""The rule: one record in, the reason to reject it out. It is plain Python, so that `python3 -m unittest` runs it without
a host."""

# What it reads from a record: the member `/cadence`. The parameters of `check` have the same names.
FIELDS = {"cadence": float}

# The settings of the rulebook, `min-cadence` and `max-cadence`, with their defaults: parameters of `check` after the `*`.
SETTINGS = {"min_cadence": 30.0, "max_cadence": 90.0}


def check(cadence, *, min_cadence, max_cadence):
    """Why the record is rejected; `None` if it is accepted."""
    if min_cadence <= cadence <= max_cadence:
        return None
    return f"cadence is {cadence:g}, not within {min_cadence:g} and {max_cadence:g}"
