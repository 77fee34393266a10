"""The rule: one record in, its score out. It is plain Python, so that `python3 -m unittest` runs it without a host."""

# What it reads from a record: the member `/cadence`, and `/resistance` with a default. The parameters of `score` have the
# same names.
FIELDS = {
    "cadence": float,
    "resistance": {"kind": float, "default": 50.0},
}

# The settings of the rulebook, with their defaults: parameters of `score` after a `*`.
SETTINGS = {}


def score(cadence, resistance):
    """The racer's output."""
    return (cadence + 35.0) * (resistance + 65.0) / 100.0
