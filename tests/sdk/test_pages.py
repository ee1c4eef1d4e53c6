"""The pages of the SDK and of the command are true: their code runs, their commands are commands."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click
import pytest

from ragstone.cli.app import ragstone
from ragstone.cli.session import EXIT_CODES
from tests.running import ROOT, RunningServer

PAGES = ROOT / "docs" / "how-to"


def blocks(page: str, language: str) -> list[str]:
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_code_of_the_page_runs(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    space: dict[str, Any] = {}
    for block in blocks("sdk.md", "python"):
        if "to_pandas" in block:
            pytest.importorskip("pandas", reason="pandas is an extra of the SDK")
        exec(compile(block.replace("http://127.0.0.1:8080", server.url), "sdk.md", "exec"), space)
    space["client"].close()
    shown = capsys.readouterr().out
    assert "3 hours and 25 minutes" in shown or "three and a half hours" in shown
    assert "not_found" in shown
    assert len(space["titles"]) > 3
    assert [reply.hits != [] for reply in space["replies"]] == [True, True]


def test_the_commands_of_the_page_are_commands() -> None:
    calls = [
        shlex.split(line, comments=True)
        for block in blocks("cli.md", "sh")
        for line in block.splitlines()
        if line.startswith("ragstone ")
    ]
    assert len(calls) > 10
    for call in calls:
        command: click.Command = ragstone
        words = iter(call[1 : call.index("|")] if "|" in call else call[1:])
        while isinstance(command, click.Group):
            found = command.commands.get(next(words))
            assert found is not None, call
            command = found
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, call


def test_every_command_and_every_exit_code_is_on_the_page() -> None:
    page = (PAGES / "cli.md").read_text(encoding="utf-8")
    assert [name for name in ragstone.commands if f"ragstone {name}" not in page] == []
    for code, meaning in re.findall(r"^  (\d)  (.+)$", EXIT_CODES, re.MULTILINE):
        assert f"| {code} | {meaning} |" in page
