"""The command `ragstone` against a real server: what it says, to people and to pipes, and what its exit codes mean."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ragstone import Client
from ragstone.cli.app import ragstone
from ragstone.cli.output import plain
from tests.running import RunningServer, eventually
from tests.sdk.scripted_server import DOCUMENT, HITS, Reply, ScriptedServer, problem

TEXT = "The harbour office opens at nine. The ferry to Skarrow waits for nobody."
HOSTILE = "\x1b]0;owned\x07\x1b[31mred [bold]not bold[/bold]"


@pytest.fixture
def call(server: RunningServer) -> Any:
    """Runs a command against the session's server."""
    return lambda *words, **more: run(server.url, *words, **more)


def run(url: str, *words: str, given: str | None = None, key: str | None = None) -> Result:
    environment = {"RAGSTONE_URL": url, "RAGSTONE_API_KEY": key, "COLUMNS": "200"}
    result = CliRunner().invoke(ragstone, words, input=given, env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def harbour(server: RunningServer) -> str:
    """The id of a searchable document in the collection cli-harbour."""
    with Client(server.url) as client:
        client.collections.create("cli-harbour")
        sent = client.documents.upload_text(
            "cli-harbour", TEXT, title="Harbour [bold]not bold[/bold]", metadata={"year": 2024}
        )
        return client.documents.wait(sent.id).id


def test_files_and_folders_go_up_and_are_found(call: Any, tmp_path: Path) -> None:
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "deep" / "a.md").write_text("# Anchors\n\nThe anchor chain is painted every spring.")
    (tmp_path / "b.txt").write_text("The winch is oiled on Mondays.")
    sent = call("upload", "-c", "cli-up", "--create", "--wait", str(tmp_path / "notes"), str(tmp_path / "b.txt"))
    assert sent.exit_code == 0, sent.output
    assert "2 accepted, 0 not accepted" in sent.stdout
    assert sent.stdout.count("searchable") == 2
    found = call("search", "when is the chain painted?", "-c", "cli-up", "-k", "1")
    assert found.exit_code == 0
    assert "every spring" in found.stdout
    again = call("upload", "-c", "cli-up", "--create", str(tmp_path / "b.txt"), "--json")
    assert [one["state"] for one in lines(again)] == ["searchable"]


def test_a_file_that_fails_is_told_and_the_others_go_up(call: Any, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("A good text.")
    (tmp_path / "odd.xyz").write_bytes(bytes(range(256)))
    sent = call("upload", "-c", "cli-part", "--create", str(tmp_path / "good.txt"), str(tmp_path / "odd.xyz"))
    assert sent.exit_code == 1
    assert "odd.xyz" in sent.stderr
    assert "1 accepted, 1 not accepted" in sent.stdout


def test_search_speaks_json_to_a_pipe(call: Any, harbour: str) -> None:
    (reply,) = lines(call("search", "ferry", "-c", "cli-harbour", "--filter", '{"metadata.year": 2024}', "--json"))
    assert [hit["document_id"] for hit in reply["hits"]] == [harbour]


def test_no_hits_is_a_code_of_its_own(call: Any, harbour: str) -> None:
    result = call("search", "ferry", "-c", "cli-harbour", "--filter", '{"metadata.year": 1999}')
    assert (result.exit_code, "0 hits" in result.stdout) == (1, True)


def test_a_question_is_answered_with_its_quotes(call: Any, harbour: str) -> None:
    result = call("ask", "When does the harbour office open?", "-c", "cli-harbour")
    assert result.exit_code == 0
    assert "opens at nine" in result.stdout
    assert "[1] Harbour" in result.stdout
    assert harbour in result.stdout
    (reply,) = lines(call("ask", "When does the harbour office open?", "-c", "cli-harbour", "--json"))
    assert reply["citations"][0]["document_id"] == harbour
    assert call("ask", "Who painted the Mona Lisa?", "-c", "cli-harbour").exit_code == 1


def test_a_summary_says_what_it_read(call: Any, harbour: str) -> None:
    result = call("summarize", harbour)
    assert result.exit_code == 0
    assert "read 1 of 1 chunks of 1 documents" in result.stdout
    assert call("summarize").exit_code == 2


def test_documents_are_listed_and_shown(call: Any, harbour: str) -> None:
    listed = call("documents", "-c", "cli-harbour")
    assert harbour in listed.stdout
    assert "searchable" in listed.stdout
    one = call("documents", harbour)
    assert "embed" in one.stdout
    assert lines(call("documents", harbour, "--json"))[0]["id"] == harbour
    assert call("documents", "no-such-document").exit_code == 5


def test_what_a_document_says_of_itself_does_nothing_to_the_terminal(
    call: Any, harbour: str, scripted: ScriptedServer
) -> None:
    for words in (("documents", "-c", "cli-harbour"), ("search", "ferry", "-c", "cli-harbour"), ("documents", harbour)):
        assert "[bold]not bold[/bold]" in call(*words).stdout
    # The server lets no such title in; another one might.
    scripted.replies = [Reply(200, {"data": [DOCUMENT | {"title": HOSTILE, "reason": HOSTILE}], "next_cursor": None})]
    shown = run(scripted.url, "documents").stdout
    assert "[bold]not bold[/bold]" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert plain("a\x1b[2J\x9b\r\nb\tc") == "a\N{REPLACEMENT CHARACTER}[2J" + "\N{REPLACEMENT CHARACTER}" * 2 + "\nb\tc"


def test_deleting_asks_first(call: Any, client: Client) -> None:
    client.collections.create("cli-delete")
    sent = client.documents.upload_text("cli-delete", "To be deleted.")
    client.documents.wait(sent.id)
    assert call("delete", sent.id, given="n\n").exit_code == 1
    assert client.documents.get(sent.id).state == "searchable"
    assert call("delete", sent.id, given="y\n").exit_code == 0
    assert client.documents.get(sent.id).state in {"deleting", "deleted"}
    assert call("delete").exit_code == 2
    missing = call("delete", "no-such-document", "--yes")
    assert (missing.exit_code, "no-such-document" in missing.stderr) == (1, True)


def test_deleting_by_filter_says_how_many_first(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(200, {"matched": 3, "accepted": 0}), Reply(200, {"matched": 3, "accepted": 3})]
    result = run(scripted.url, "delete", "-c", "notes", "-f", '{"pages": 1}', "--max", "5", given="y\n")
    assert "Delete 3 documents of notes?" in result.stderr
    assert "3 matched, 3 deleted" in result.stdout
    assert [json.loads(asked.body)["dry_run"] for asked in scripted.asked] == [True, False]


def test_dead_letters_are_listed_tried_again_and_put_away(call: Any, client: Client) -> None:
    client.collections.create("cli-letters")
    sent = client.documents.upload("cli-letters", b"%PDF-1.7 and nothing else", name="broken.pdf")
    client.documents.wait(sent.id)
    listed = call("dead-letters", "list", "-c", "cli-letters")
    assert "damaged" in listed.stdout
    (letter,) = lines(call("dead-letters", "list", "-c", "cli-letters", "--json"))
    assert letter["reason"] in call("dead-letters", "show", letter["id"]).stdout
    assert "1 tried again" in call("dead-letters", "redrive", "--all", "-c", "cli-letters").stdout
    client.documents.wait(sent.id)
    (again,) = eventually(lambda: lines(call("dead-letters", "list", "-c", "cli-letters", "--json")))
    assert call("dead-letters", "drop", again["id"]).exit_code == 0
    assert call("dead-letters", "drop", "--all", "-c", "cli-letters").exit_code == 1  # none is left
    assert call("dead-letters", "redrive").exit_code == 2


def test_keys_are_made_listed_rotated_and_revoked(scripted: ScriptedServer) -> None:
    made = {"id": "k1", "name": "laptop", "hint": "rs_1", "key": "rs_1234", "scopes": ["search"], "labels": []}
    made |= {"collections": None, "created_at": "2026-01-01T00:00:00Z", "expires_at": None, "revoked_at": None}
    replies = [Reply(201, made), Reply(200, {"data": [made], "next_cursor": None}), Reply(201, made), Reply(200)]
    scripted.replies = replies
    created = run(scripted.url, "keys", "create", "laptop", "--scope", "search", "--expires", "2027-01-01")
    assert created.stdout.splitlines()[0] == "rs_1234"
    assert json.loads(scripted.asked[0].body)["expires_at"] == "2027-01-01T00:00:00+00:00"
    listed = run(scripted.url, "keys", "list").stdout
    assert "laptop" in listed
    assert "rs_1234" not in listed
    assert run(scripted.url, "keys", "rotate", "k1", "--json").exit_code == 0
    assert "1 revoked" in run(scripted.url, "keys", "revoke", "k1").stdout


# --- exit codes ---


def test_exit_codes_say_what_happened(scripted: ScriptedServer) -> None:
    for status, code, expected in (
        (401, "unauthorized", 4),
        (403, "forbidden", 4),
        (404, "not_found", 5),
        (409, "conflict", 6),
        (422, "invalid_filter", 6),
        (500, "internal", 7),
    ):
        scripted.replies = [Reply(status, problem(status, code))]
        result = run(scripted.url, "search", "x")
        assert (result.exit_code, code in result.stderr) == (expected, True)
    scripted.replies = [Reply(200, b"<h1>It works!</h1>")]
    assert run(scripted.url, "search", "x").exit_code == 3
    assert run("127.0.0.1:80", "search", "x").exit_code == 2
    assert run(scripted.url, "search", "x", "--filter", "{").exit_code == 2
    assert run(scripted.url, "search", "x", "--filter", "[]").exit_code == 2


def test_the_help_says_what_the_exit_codes_mean() -> None:
    for words in (("--help",), ("search", "--help"), ("dead-letters", "list", "--help")):
        shown = run("http://127.0.0.1:1", *words).stdout
        assert "  3  the server cannot be reached" in shown


def test_the_key_is_sent(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(200, HITS)]
    run(scripted.url, "search", "x", key="from-the-environment")
    run(scripted.url, "search", "x", "--key", "from-the-line", key="from-the-environment")
    assert [asked.headers.get("Authorization") for asked in scripted.asked] == [
        "Bearer from-the-environment",
        "Bearer from-the-line",
    ]


# --- as a process ---


def process(url: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ragstone", *words],
        env=os.environ | {"RAGSTONE_URL": url} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_pipe_gets_no_colours_and_no_bar(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text in a pipe.")
    found = process(server.url, "upload", "-c", "cli-pipe", "--create", str(tmp_path / "a.txt"))
    assert found.returncode == 0, found.stderr
    assert "\x1b" not in found.stdout
    assert found.stderr == ""


def test_a_terminal_gets_colours_and_bars(server: RunningServer, harbour: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text on a terminal.")
    assert "\x1b[32msearchable" in on_terminal(server.url, "documents", "-c", "cli-harbour")
    sent = on_terminal(server.url, "upload", "-c", "cli-terminal", "--create", "--wait", str(tmp_path / "a.txt"))
    assert "1/1" in sent
    assert "Waiting" in sent


def on_terminal(url: str, *words: str) -> str:
    """What a terminal is sent."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"RAGSTONE_URL": url, "TERM": "xterm", "COLUMNS": "200"}
    command = [sys.executable, "-m", "ragstone", *words]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        try:
            while some := os.read(ours, 65536):
                shown += some
        except OSError:  # so ends a terminal on Linux
            pass
        finally:
            os.close(ours)
    assert running.returncode == 0, shown
    return shown.decode()


def test_a_shell_completes_it() -> None:
    script = process("", _RAGSTONE_COMPLETE="bash_source").stdout
    assert "complete -o nosort" in script
    offered = process("", _RAGSTONE_COMPLETE="bash_complete", COMP_WORDS="ragstone s", COMP_CWORD="1").stdout
    assert offered.split() == ["plain,search", "plain,status", "plain,summarize"]


def test_waiting_has_an_end(scripted: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text.")
    scripted.replies = [Reply(202, DOCUMENT, after_s=0.01)]
    result = run(scripted.url, "upload", "-c", "notes", "--wait", "--wait-s", "0.2", str(tmp_path / "a.txt"))
    assert (result.exit_code, "not finished within 0.2 seconds" in result.stderr) == (1, True)
