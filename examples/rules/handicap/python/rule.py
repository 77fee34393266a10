"""The rule of handicap races in Python, the twin of ../src/lib.rs: `paceline plugin new handicap --kind scorer --lang python`
makes the project around it."""

# What it reads from a record. The parameters of `score` have the same names.
FIELDS = {
    "cadence": float,
    "resistance": float,
    "personal_best": {"kind": float, "path": "/personalBest", "default": 0.0},
}

# The best of racers whose messages do not name it, in watts: a parameter of `score` after a `*`.
SETTINGS = {"best": 150.0}


def score(cadence, resistance, personal_best, *, best):
    """The racer's output in percent of the racer's own best."""
    output = (cadence + 35.0) * (resistance + 65.0) / 100.0
    own = personal_best if personal_best > 0.0 else best
    return 100.0 * output / own
