"""Settings: a typing error never means a default, and what is wrong is said in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.settings import BadSettings, Settings, child_environment, read_settings, setting_names


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("RAGSTONE_"):
            monkeypatch.delenv(name)
    for name in ("DO_NOT_TRACK", "SCARF_NO_ANALYTICS", "UNSTRUCTURED_DISABLE_NOTICE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
    for name in ("TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, "")


def test_without_any_setting_it_listens_on_loopback_with_a_data_folder_beside() -> None:
    settings = read_settings()
    assert (settings.data, settings.host, settings.port) == (Path("var"), "127.0.0.1", 8080)
    assert settings.drop_folder == Path("var/drop")


def test_groups_are_named_with_two_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGSTONE_DATA", "/srv/data")
    monkeypatch.setenv("RAGSTONE_WORK__LEASE_S", "2.5")
    monkeypatch.setenv("RAGSTONE_QDRANT__URL", "host:1")
    settings = read_settings()
    assert (settings.drop_folder, settings.work.lease_s, settings.qdrant.url) == (Path("/srv/data/drop"), 2.5, "host:1")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"RAGSTONE_PROT": "1"}, "RAGSTONE_PROT"),
        ({"RAGSTONE_WORK__LEASE": "1"}, "RAGSTONE_WORK__LEASE"),
        ({"RAGSTONE_WORK": "{}"}, "RAGSTONE_WORK"),
        ({"RAGSTONE_PORT": "http"}, "RAGSTONE_PORT"),
        ({"RAGSTONE_PORT": "70000"}, "RAGSTONE_PORT"),
        ({"RAGSTONE_WORK__LEASE_S": "0"}, "RAGSTONE_WORK__LEASE_S"),
        ({"RAGSTONE_WATCH__HOLD_SHARE": "2"}, "RAGSTONE_WATCH__HOLD_SHARE"),
        ({"RAGSTONE_LOG_LEVEL": "loud"}, "RAGSTONE_LOG_LEVEL"),
        ({"RAGSTONE_GENERATOR__MODEL": "m"}, "RAGSTONE_GENERATOR__BASE_URL"),
        ({"RAGSTONE_INTAKE__BACKLOG": "0"}, "RAGSTONE_INTAKE__BACKLOG"),
        ({"RAGSTONE_KAFKA__BOOTSTRAP": "broker"}, "RAGSTONE_KAFKA__BOOTSTRAP"),
        ({"RAGSTONE_KAFKA__BOOTSTRAP": "a:1,b"}, "RAGSTONE_KAFKA__BOOTSTRAP"),
        ({"RAGSTONE_KAFKA__PREFIX": "a b"}, "RAGSTONE_KAFKA__PREFIX"),
        *(
            ({"RAGSTONE_BLOBS__URL": url}, "RAGSTONE_BLOBS__URL")
            for url in ("", "/srv/blobs", "file://srv/blobs", "file:///", "s3://bucket", "file:///srv\n", "gs://x/y")
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings) as refused:
        read_settings()
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        *((host, True) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "example.org", "10.0.0.1")),
    ],
)
def test_what_loopback_is(monkeypatch: pytest.MonkeyPatch, host: str, is_it: bool) -> None:
    monkeypatch.setenv("RAGSTONE_HOST", host)
    assert read_settings().is_on_loopback is is_it


def test_a_secret_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGSTONE_GENERATOR__API_KEY", "hunter2")
    settings = read_settings()
    assert "hunter2" not in f"{settings!r}{settings}"
    assert settings.generator.api_key.get_secret_value() == "hunter2"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_reading_them_keeps_the_engines_from_calling_home() -> None:
    read_settings()
    assert [os.environ[name] for name in ("DO_NOT_TRACK", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")] == ["1", "1", "1"]


def test_every_setting_is_described() -> None:
    assert {name for name, field in setting_names().items() if not field.description} == set()


def test_a_child_gets_this_environment_with_changes() -> None:
    child = child_environment(RAGSTONE_PORT="1")
    assert (child["RAGSTONE_PORT"], child["PATH"]) == ("1", os.environ["PATH"])
    assert "RAGSTONE_PORT" not in os.environ


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///srv/blobs", "/srv/blobs"),
        ("file:///srv/a%20b/%C3%B6", "/srv/a b/ö"),
        ("file:///srv/with space", "/srv/with space"),
    ],
)
def test_a_folder_of_blobs_is_given_as_its_url(monkeypatch: pytest.MonkeyPatch, url: str, folder: str) -> None:
    monkeypatch.setenv("RAGSTONE_BLOBS__URL", url)
    assert read_settings().blobs.folder == Path(folder)


def test_without_one_blobs_are_in_the_data_folder() -> None:
    assert read_settings().blobs.folder is None


def test_an_install_is_alone_until_it_has_brokers_or_a_server_for_its_catalogue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read_settings().is_alone
    monkeypatch.setenv("RAGSTONE_DATABASE__URL", "sqlite:////srv/catalogue.db")
    assert read_settings().is_alone
    monkeypatch.setenv("RAGSTONE_DATABASE__URL", "postgresql://u:p@host/db")
    assert not read_settings().is_alone
    monkeypatch.delenv("RAGSTONE_DATABASE__URL")
    monkeypatch.setenv("RAGSTONE_KAFKA__BOOTSTRAP", "one:9092, [::1]:9093")
    settings = read_settings()
    assert (settings.is_alone, settings.kafka.brokers) == (False, ("one:9092", "[::1]:9093"))
