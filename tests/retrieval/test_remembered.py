"""What the catalogue remembers between two searches is never older than the last commit."""

from __future__ import annotations

from retrieval.sql_catalogue.remembered import Remembered


class _Changes:
    def __init__(self) -> None:
        self.number = 1

    def __call__(self) -> int:
        return self.number


def test_what_was_read_is_remembered_until_somebody_commits() -> None:
    changes = _Changes()
    remembered: Remembered[str, int] = Remembered(changes, most=10)
    remembered.now()["one"] = 1
    assert remembered.now() == {"one": 1}
    changes.number += 1
    assert remembered.now() == {}


def test_a_slow_reader_does_not_make_old_news_current() -> None:
    changes = _Changes()
    remembered: Remembered[str, int] = Remembered(changes, most=10)
    slow = remembered.now()
    changes.number += 1
    remembered.now()
    slow["one"] = 1
    assert remembered.now() == {}


def test_no_more_than_the_bound_is_kept() -> None:
    remembered: Remembered[int, int] = Remembered(_Changes(), most=10)
    for number in range(12):
        remembered.now()[number] = number
    assert len(remembered.now()) <= 10
