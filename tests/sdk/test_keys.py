"""Keys, by the client and by the command: what they open, and that they end."""

from __future__ import annotations

import pytest

from ragstone import Client
from ragstone.errors import Conflict, Forbidden, RagstoneError, Unauthorized
from tests.running import RunningServer, eventually
from tests.sdk.scripted_server import KEY
from tests.sdk.test_commands import lines, run


def test_a_key_opens_what_it_was_made_for_and_nothing_more(own: RunningServer) -> None:
    with Client(own.url, key=KEY) as admin:
        made = admin.keys.create("reader", scopes=["search", "read"], labels=["group:a"])
        assert made.id in {key.id for key in admin.keys.list()}
        with Client(own.url, key=made.key) as reader:
            reader.search("anything")
            with pytest.raises(Forbidden):
                reader.documents.upload_text("notes", "not mine to write")
            with pytest.raises(Forbidden):
                reader.keys.create("another", scopes=["admin"])
        other = admin.keys.rotate(made.id, overlap_s=0)
        with Client(own.url, key=other.key) as reader:
            reader.search("anything")
            admin.keys.revoke(other.id)
            eventually(lambda: refused(reader))


def refused(client: Client) -> bool:
    try:
        client.search("anything")
    except Unauthorized:
        return True
    except RagstoneError:
        return False
    return False


def test_a_key_is_made_and_ended_by_command(own: RunningServer) -> None:
    made = run(own.url, "keys", "create", "laptop", "--scope", "search", "--label", "group:b", key=KEY)
    assert made.exit_code == 0, made.output
    secret = made.stdout.splitlines()[0]
    assert run(own.url, "doctor", key=secret).exit_code == 1  # it may search, and not read
    shown = run(own.url, "keys", "list", key=KEY).stdout
    assert "laptop" in shown
    assert secret not in shown
    listed = lines(run(own.url, "keys", "list", "--json", key=KEY))
    key_id = next(key["id"] for key in listed if key["name"] == "laptop")
    assert run(own.url, "keys", "rotate", key_id, "--json", key=KEY).exit_code == 0
    assert run(own.url, "keys", "revoke", key_id, key=KEY).exit_code == 0
    assert run(own.url, "keys", "list", key=secret).exit_code == 4


def test_a_server_that_asks_for_no_key_makes_none(client: Client) -> None:
    with pytest.raises(Conflict, match="No key is asked for here"):
        client.keys.create("laptop", scopes=["search"])
