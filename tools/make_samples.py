"""Writes the generated documents of samples/: `python -m tools.make_samples [folder]`.

Promise: the same words give the same bytes. Text formats agree everywhere; PDF, Word, PowerPoint and Excel agree with
the same versions of the libraries that write them. The Markdown and CSV files and company-history.txt are written by
hand and stand only in samples/.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tools.sample_markup import Block, read
from tools.sample_office import slides, word, workbook
from tools.sample_pdf import Layout, pdf
from tools.sample_tables import (
    GULLHOLM_OFFER,
    calibration_results,
    price_list,
)
from tools.sample_text import Mail, html, mail_with_alternative, mail_with_attachment

SOURCES = Path(__file__).parent / "sample_sources"
SAMPLES = Path(__file__).parents[1] / "samples"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    for name, make in GENERATED.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make())


def source(name: str) -> str:
    return (SOURCES / f"{name}.txt").read_text(encoding="utf-8")


def blocks(name: str) -> list[Block]:
    return read(source(name))


def specification() -> bytes:
    return pdf(
        blocks("kittiwake-200-specification"),
        title="Kittiwake 200 radar tide gauge: product specification",
        header="Harrow & Finch Instruments    Kittiwake 200 specification",
        footer="HF-SP-0200, revision F",
    )


def service_manual() -> bytes:
    return pdf(
        blocks("limpet-320-service-manual"),
        title="Limpet 320 bottom pressure sensor: service manual",
        header="Harrow & Finch Instruments    Limpet 320 service manual",
        footer="HF-SM-0320, third edition",
    )


def trial() -> bytes:
    return pdf(
        blocks("antifouling-trial"),
        title="Keeping barnacles off a pressure port",
        header="Harrow & Finch Instruments    Internal report HF-TR-0117",
        footer="Antifouling trial at Marrow Quay",
        layout=Layout.TWO_COLUMNS,
    )


def annual_report() -> bytes:
    return pdf(
        blocks("annual-report-2025"),
        title="Annual report 2025",
        header="Harrow & Finch Instruments    Annual report 2025",
        footer="Approved 26 February 2026",
    )


def incident_report() -> bytes:
    return word(blocks("skarrow-incident-report"), title="Incident report: false high water at Skarrow Harbour")


def handbook() -> bytes:
    return word(blocks("employee-handbook"), title="Employee handbook, edition 14")


def roadmap() -> bytes:
    return slides(blocks("sensor-roadmap-2026"), title="Sensor roadmap 2026 to 2028")


def onboarding() -> bytes:
    return slides(blocks("onboarding-field-engineers"), title="Your first six weeks in field service")


def calibrations() -> bytes:
    return workbook(calibration_results(), title="Calibration results 2025")


def prices() -> bytes:
    return workbook(price_list(), title="Price list 2026")


def release_notes() -> bytes:
    return html(blocks("firmware-release-notes"), title="Firmware release notes")


def travel() -> bytes:
    return html(blocks("travel-and-expenses"), title="Travel and expenses")


def ship_log() -> bytes:
    """UTF-16 with a byte order mark and CR LF, as the ship's old laptop saves it."""
    return b"\xff\xfe" + source("sable-tern-log").replace("\n", "\r\n").encode("utf-16-le")


def recall() -> bytes:
    head = Mail(
        sender="Selma Voss <selma.voss@harrow-finch.example>",
        to="Field service <field-service@harrow-finch.example>",
        cc="Marit Osgood <marit.osgood@harrow-finch.example>",
        date="Thu, 14 Aug 2025 16:42:00 +0200",
        subject="Recall: battery packs of lot BX-2291",
        message_id="<20250814.1642.recall@harrow-finch.example>",
    )
    return mail_with_alternative(head, source("battery-recall"), blocks("battery-recall"))


def tender_reply() -> bytes:
    head = Mail(
        sender="Anneke Strand <anneke.strand@harrow-finch.example>",
        to="Isolde Thorne <thorne@gullholm-pilots.example>",
        cc="Kofi Aldane <kofi.aldane@harrow-finch.example>",
        date="Mon, 17 Nov 2025 10:15:00 +0100",
        subject="Your tender GH-25-118: our answers and our offer",
        message_id="<20251117.1015.offer@harrow-finch.example>",
    )
    text = source("gullholm-tender-reply")
    return mail_with_attachment(head, text, name="gullholm-offer.csv", rows=GULLHOLM_OFFER)


def sidecar(title: str, *, year: int, department: str, tags: list[str]) -> Callable[[], bytes]:
    described = {"title": title, "metadata": {"year": year, "department": department, "tags": tags}}
    return (json.dumps(described, indent=2) + "\n").encode


GENERATED: dict[str, Callable[[], bytes]] = {
    "engineering/kittiwake-200-specification.pdf": specification,
    "engineering/limpet-320-service-manual.pdf": service_manual,
    "engineering/antifouling-trial.pdf": trial,
    "engineering/skarrow-incident-report.docx": incident_report,
    "engineering/sensor-roadmap-2026.pptx": roadmap,
    "engineering/calibration-results-2025.xlsx": calibrations,
    "engineering/firmware-release-notes.html": release_notes,
    "engineering/battery-recall.eml": recall,
    "handbook/employee-handbook.docx": handbook,
    "handbook/onboarding-field-engineers.pptx": onboarding,
    "handbook/travel-and-expenses.html": travel,
    "engineering/sable-tern-log.txt": ship_log,
    "finance/annual-report-2025.pdf": annual_report,
    "finance/price-list-2026.xlsx": prices,
    "finance/gullholm-tender-reply.eml": tender_reply,
    "engineering/kittiwake-200-specification.pdf.metadata.json": sidecar(
        "Kittiwake 200 specification, revision F",
        year=2025,
        department="engineering",
        tags=["kittiwake", "radar", "specification"],
    ),
    "finance/annual-report-2025.pdf.metadata.json": sidecar(
        "Annual report 2025", year=2025, department="finance", tags=["annual report", "figures"]
    ),
}


if __name__ == "__main__":
    main()
