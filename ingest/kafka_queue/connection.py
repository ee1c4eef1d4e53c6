"""How each of our Kafka clients is configured: everything that its defaults would leave to chance is said here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

# Also newly made topics and moved partitions are noticed within it; one small request.
_METADATA_AGE_MS = 30_000
# A broker that comes back is found within a second or two, and one that is away is not asked in a frenzy.
_RECONNECT_MS = 1_000
# A member takes one pointer at a time: its marks then hold exactly, and a record that the client cannot decode is never
# behind others in one answer, where the client would forget about it (see reading.py).
_MEMBER_RECORDS = 1
_TAIL_RECORDS = 500
# What a client may hold of one partition that it has not looked at: hundreds of pointers.
_PARTITION_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Where the brokers are and who we are to them.

    `timeout_s` bounds a request, and everything that somebody waits for. A member of a group that is not heard for
    `session_timeout_s`, or whose owner thread does not poll for `poll_interval_s`, loses its partitions.
    """

    bootstrap: tuple[str, ...]
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    client_id: str = "ragstone"
    timeout_s: float = 10.0
    session_timeout_s: float = 45.0
    poll_interval_s: float = 300.0

    def consumer(self, group: str | None) -> dict[str, Any]:
        """For a member of a group, or (None) for one that reads what it assigns itself and commits nothing."""
        arguments = {
            **self._common(),
            "group_id": group,
            "enable_auto_commit": False,  # committed is what was acknowledged, never what was merely read
            "auto_offset_reset": "earliest",  # a group without offsets begins with the backlog, not behind it
            "max_poll_records": _TAIL_RECORDS if group is None else _MEMBER_RECORDS,
            "fetch_max_wait_ms": 500,
            "max_partition_fetch_bytes": _PARTITION_BYTES,
            # There are no transactions here; somebody else's that hangs must not hold up ours.
            "isolation_level": "read_uncommitted",
            "check_crcs": True,
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }
        if group is None:
            return arguments
        return arguments | {
            # All members must have the same one: a mixture of eager and cooperative ones cannot agree.
            "partition_assignment_strategy": [CooperativeStickyAssignor()],
            "session_timeout_ms": _ms(self.session_timeout_s),
            "heartbeat_interval_ms": min(3_000, _ms(self.session_timeout_s) // 3),
            "max_poll_interval_ms": _ms(self.poll_interval_s),
        }

    def producer(self) -> dict[str, Any]:
        return {
            **self._common(),
            "enable_idempotence": True,  # said, since a setting in conflict would otherwise turn it off silently
            "acks": "all",
            "max_in_flight_requests_per_connection": 5,
            "request_timeout_ms": _ms(self.timeout_s / 2),
            "delivery_timeout_ms": _ms(self.timeout_s),
            "max_block_ms": _ms(self.timeout_s),
            "linger_ms": 2,  # a round of the dispatcher is one batch for each partition
            "max_request_size": 1 << 20,
            "compression_type": None,  # every member can read it, whatever is installed there
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }

    def admin(self) -> dict[str, Any]:
        return self._common()

    def _common(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": list(self.bootstrap),
            "client_id": self.client_id,
            "request_timeout_ms": _ms(self.timeout_s),
            "bootstrap_timeout_ms": _ms(self.timeout_s),
            "reconnect_backoff_max_ms": _RECONNECT_MS,
            "metadata_max_age_ms": _METADATA_AGE_MS,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_check_hostname": True,
            "ssl_cafile": self.ca_file,
            "ssl_certfile": self.cert_file,
            "ssl_keyfile": self.key_file,
        }


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
