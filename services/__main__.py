"""`python -m services <process>`: starts one process, or says in one line why not."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

from retrieval.errors import Conflict, RagstoneError
from services import roles as roles_of
from services import wiring
from services.layout import Layout
from services.lifeline import Lifeline
from services.settings import BadSettings, Settings, read_settings
from services.standing import REFUSED

_PROCESSES = "all, index, documents, search, summary, watch, parse, embed, janitor, models, migrate, keys"


def main() -> int:
    run = _chosen(sys.argv[1:])
    try:
        settings = read_settings()
        logging.basicConfig(
            level=settings.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
        )
        for chatty in ("alembic", "kafka"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        return run(settings)
    except (BadSettings, RagstoneError, OSError) as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            logging.getLogger(__name__).debug("refused", exc_info=error)
        print(f"ragstone: {error}", file=sys.stderr, flush=True)
        return REFUSED


def _chosen(given: Sequence[str]) -> Callable[[Settings], int]:
    if given[:1] == ["keys"]:
        from services.keys_command import keys_command

        return keys_command(given[1:])
    return partial(_run, _arguments().parse_args(given))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services",
        description=__doc__,
        epilog="documents, search and summary can be one process (documents,search), and so can watch, parse, embed "
        "and janitor. Without Kafka, parse, embed and janitor must be.",
    )
    parser.add_argument("process", help=f"one of {_PROCESSES}")
    parser.add_argument(
        "action", nargs="?", choices=["prepare"], help="models prepare: converts, measures and keeps it"
    )
    parser.add_argument(
        "--address", help="index: host:port or the path of a unix socket; default one in the data folder"
    )
    parser.add_argument("--once", action="store_true", help="janitor: one round beside a running install")
    for given in ("--lifeline-fd", "--listen-fd"):  # by the supervisor
        parser.add_argument(given, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--compare-first", action="store_true", help=argparse.SUPPRESS)
    return parser


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    roles = tuple(arguments.process.split(","))
    lifeline = None if arguments.lifeline_fd is None else Lifeline(arguments.lifeline_fd)
    match arguments.process, arguments.action:
        case "all", None:
            from services.supervisor import Supervisor

            return Supervisor(settings).run()
        case "models", "prepare":
            return _prepare_model(settings)
        case "migrate", None:
            return _migrate(settings)
        case "janitor", None if arguments.once:
            return _janitor_once(settings)
        case "index", None:
            from services.index_process import run_index

            run_index(settings, lifeline, address=arguments.address)
        case _, None if set(roles) <= set(roles_of.API):
            from services.api_process import run_api

            listener = None if arguments.listen_fd is None else socket.socket(fileno=arguments.listen_fd)
            run_api(settings, lifeline, roles=roles, listener=listener)
        case _, None if set(roles) <= set(roles_of.WORK):
            from services.work_process import run_work

            first = arguments.compare_first
            run_work(settings, lifeline, roles=roles, worker=arguments.worker, compare_first=first)
        case _:
            raise Conflict(f"{arguments.process} is no process: start one of {_PROCESSES}, or `models prepare`.")
    return 0


def _prepare_model(settings: Settings) -> int:
    if settings.is_alone:
        prepared = wiring.open_model(settings)
    else:
        Layout(settings.data).prepare()
        shared = wiring.share(settings)
        prepared = wiring.keep_model(shared)
        shared.close()
    print(f"{prepared.spec.model}: {prepared.measured.engine}")
    return 0


def _migrate(settings: Settings) -> int:
    layout = Layout(settings.data)
    if settings.database.url is None:
        layout.prepare()
    wiring.open_catalogue(settings, layout, migrate=True).close()
    print("The catalogue's database has this version's schema.")
    return 0


def _janitor_once(settings: Settings) -> int:
    shared = wiring.share(settings)
    drift = wiring.make_janitor(shared, catalogue=shared.catalogue, holder="janitor-once").round()
    print(", ".join(f"{name} {value}" for name, value in asdict(drift).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
