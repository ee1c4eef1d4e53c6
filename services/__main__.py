"""`python -m services <process>`: starts one process, or says in one line why not."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from dataclasses import asdict

from retrieval.errors import RagstoneError
from services import processes, wiring
from services.layout import Layout
from services.lifeline import Lifeline
from services.settings import BadSettings, Settings, read_settings
from services.supervisor import REFUSED, Supervisor

API_ROLES = ("documents", "search", "summary")
WORK_ROLES = ("watch", "parse", "embed", "janitor")


def main() -> int:
    arguments = _arguments().parse_args()
    try:
        settings = read_settings()
        logging.basicConfig(
            level=settings.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
        )
        logging.getLogger("alembic").setLevel(logging.WARNING)
        return _run(arguments, settings)
    except (BadSettings, RagstoneError, OSError) as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            logging.getLogger(__name__).debug("refused", exc_info=error)
        print(f"ragstone: {error}", file=sys.stderr, flush=True)
        return REFUSED


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__)
    processes = parser.add_subparsers(dest="process", required=True)
    processes.add_parser("all", help="everything on one machine: one command, one supervisor")
    index = processes.add_parser("index", help="the index process: holds the edge engine and serves it")
    index.add_argument("--address", help="host:port or the path of a unix socket; default one in the data folder")
    _add_lifeline(index, required=False)
    models = processes.add_parser("models", help="converts and measures the embedding model")
    models.add_argument("action", choices=["prepare"])
    processes.add_parser("migrate", help="brings the catalogue's database to this version's schema")
    janitor = processes.add_parser("janitor", help="one round of the janitor, beside a running install")
    janitor.add_argument("--once", action="store_true", required=True)
    api = processes.add_parser(",".join(API_ROLES), help="the HTTP API; started by the supervisor")
    api.add_argument("--listen-fd", type=int, required=True)
    _add_lifeline(api, required=True)
    work = processes.add_parser(",".join(WORK_ROLES), help="ingestion; started by the supervisor")
    work.add_argument("--worker", required=True)
    work.add_argument("--compare-first", action="store_true")
    _add_lifeline(work, required=True)
    return parser


def _add_lifeline(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--lifeline-fd", type=int, required=required, help=argparse.SUPPRESS)


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    process = arguments.process
    if process == "all":
        return Supervisor(settings).run()
    if process == "models":
        prepared = wiring.open_model(settings)
        print(f"{prepared.spec.model}: {prepared.measured.engine}")
        return 0
    if process == "migrate":
        return _migrate(settings)
    if process == "janitor":
        return _janitor_once(settings)
    lifeline = None if arguments.lifeline_fd is None else Lifeline(arguments.lifeline_fd)
    if process == "index":
        processes.run_index(settings, lifeline, address=arguments.address)
        return 0
    assert lifeline is not None
    if process == ",".join(API_ROLES):
        listener = socket.socket(fileno=arguments.listen_fd)
        processes.run_api(settings, lifeline, roles=API_ROLES, listener=listener)
    else:
        processes.run_work(settings, lifeline, worker=arguments.worker, compare_first=arguments.compare_first)
    return 0


def _migrate(settings: Settings) -> int:
    layout = Layout(settings.data)
    if settings.database.url is None:
        layout.prepare()
    wiring.open_catalogue(settings, layout, migrate=True).close()
    print("The catalogue's database has this version's schema.")
    return 0


def _janitor_once(settings: Settings) -> int:
    drift = wiring.make_janitor(wiring.share(settings), holder="janitor-once").round()
    print(", ".join(f"{name} {value}" for name, value in asdict(drift).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
