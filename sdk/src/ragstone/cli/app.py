"""The group of all commands."""

from __future__ import annotations

import click

from ragstone.cli.asking import ask, search, summarize
from ragstone.cli.doctor import doctor
from ragstone.cli.keys import keys
from ragstone.cli.letters import dead_letters
from ragstone.cli.sending import delete, documents, upload
from ragstone.cli.session import EXIT_CODES
from ragstone.cli.status import status


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="ragstone")
def ragstone() -> None:
    """Retrieval for your documents: send them, see that they are searchable, search, ask.

    Every command takes --url, --key and --json, or RAGSTONE_URL and RAGSTONE_API_KEY.
    """


for command in (upload, search, ask, summarize, status, documents, delete, dead_letters, keys, doctor):
    ragstone.add_command(command)


def main() -> None:
    ragstone(prog_name="ragstone")
