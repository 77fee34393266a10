import unittest

from rule import SETTINGS, check


class Rule(unittest.TestCase):
    def test_the_bounds_are_inclusive(self):
        for cadence in (30.0, 90.0):
            self.assertIsNone(check(cadence, **SETTINGS))

    def test_the_reason_names_the_field_its_value_and_the_bounds(self):
        self.assertEqual(check(95.0, **SETTINGS), "cadence is 95, not within 30 and 90")

    def test_a_setting_changes_a_bound(self):
        self.assertIsNone(check(95.0, **{**SETTINGS, "max_cadence": 120.0}))


if __name__ == "__main__":
    unittest.main()
