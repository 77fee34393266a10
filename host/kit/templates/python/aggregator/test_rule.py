import unittest

from rule import finish, fold, merge


def folded(*records):
    """The state of a group after these records: pairs of a second and a score."""
    state = None
    for second, score in records:
        state = fold(state, score, second)
    return state


class Rule(unittest.TestCase):
    def test_the_best_score_counts_and_the_first_second_that_had_it(self):
        state = folded((1, 70.0), (2, 80.5), (3, 80.5), (4, 60.0))
        self.assertEqual(finish(state), {"output": 80.5, "second": 2})

    def test_states_that_were_folded_apart_are_merged_in_any_order(self):
        left, right = folded((1, 70.0), (4, 80.5)), folded((2, 80.5))
        self.assertEqual(merge(left, right), folded((1, 70.0), (2, 80.5), (4, 80.5)))
        self.assertEqual(merge(left, right), merge(right, left))


if __name__ == "__main__":
    unittest.main()
