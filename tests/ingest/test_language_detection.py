import pytest

from ingest.language_detection import language_of


@pytest.mark.parametrize(
    "language, text",
    [
        ("en", "The committee reviewed the annual report and approved the budget for the next year."),
        ("de", "Der Ausschuss hat den Jahresbericht geprüft und den Haushalt für das nächste Jahr beschlossen."),
        ("fr", "Le comité a examiné le rapport annuel et approuvé le budget de l'année prochaine."),
        ("zh", "委员会审查了年度报告并批准了明年的预算，随后会议在下午结束。"),
    ],
)
def test_a_sentence_tells_its_language(language: str, text: str) -> None:
    assert language_of(text) == language


def test_the_answer_is_always_the_same() -> None:
    text = "Total assets and liabilities, restated. Gesamtvermögen und Verbindlichkeiten, angepasst."
    assert len({language_of(text) for _ in range(5)}) == 1


@pytest.mark.parametrize("text", ["", "42 17 9.5", "ok", "🙂🙂🙂"])
def test_too_little_text_tells_none(text: str) -> None:
    assert language_of(text) is None
