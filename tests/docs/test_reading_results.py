"""The figures on the page of how to read results are those that follow from its intervals."""

import re
from math import comb

from pages import REPOSITORY

from fakeemo.evaluation import wilson

PAGE = (REPOSITORY / "docs" / "reading_results.md").read_text()


def at_least(k: int, n: int, p: float) -> float:
    """Give the probability of ``k`` or more right of ``n``, each with probability ``p``."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def test_the_table_of_what_so_many_videos_can_decide():
    rows = re.findall(r"^\| (\d+) \| (\d+) \((\d+) %\) \| (\d+) % \| (\d+) % \| (\d+) % \|$", PAGE, re.M)
    assert len(rows) == 4
    for row in rows:
        n, least, share, *power = map(int, row)
        assert wilson(least, n)[0] > 0.5 >= wilson(least - 1, n)[0]
        assert share == round(100 * least / n)
        assert power == [round(100 * at_least(least, n, p)) for p in (0.6, 0.65, 0.7)]


def test_the_figures_in_the_text():
    assert [round(100 * limit) for limit in wilson(40, 60)] == [54, 77]
    assert [round(100 * limit) for limit in wilson(8, 10)] == [49, 94]
    best_of_eight = 1 - (1 - at_least(36, 60, 0.5)) ** 8
    assert round(best_of_eight, 2) == 0.48
    called_fake_wrongly = 0.99 * 0.2 / (0.99 * 0.2 + 0.01 * 0.8)
    assert round(100 * called_fake_wrongly) == 96
    smallest_of_seven_below = 1 - (1 - 0.1) ** 7
    assert round(smallest_of_seven_below, 1) == 0.5
    for text in (
        "54 to 77 %",
        "49 % as well as 94 %",
        "the best of eight: 0.48",
        "about 96 %",
        "below 0.1 every other",
    ):
        assert text in " ".join(PAGE.split())
