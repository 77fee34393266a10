import unittest

from rule import score


class Rule(unittest.TestCase):
    def test_a_stronger_and_faster_racer_has_more_output(self):
        self.assertEqual(score(81.0, 79.0), 167.04)
        self.assertGreater(score(82.0, 80.0), 167.04)


if __name__ == "__main__":
    unittest.main()
