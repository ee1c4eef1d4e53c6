"""The rows of the samples that are tables: calibrations, prices and one offer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from random import Random

from tools.sample_office import Cell

Rows = Sequence[Sequence[Cell]]

TECHNICIANS = ("Petra Lindqvane", "Oskar Benn", "Ines Farrow")
KITTIWAKE_LIMIT = 2.0  # mm on the rail, from the calibration bench notes

# Rows that questions ask about, by position; the rows between them are filled by a seeded generator.
KITTIWAKE_TOLD = {
    8: ("K2-1187", date(2025, 2, 24), 17, 1.7, 0.5, "Oskar Benn", "as found after Skarrow; lens scratched, replaced"),
    15: ("K2-0931", date(2025, 3, 27), 17, 3.4, 1.3, "Petra Lindqvane", "loose retaining ring, scrapped for parts"),
    19: ("K2-1302", date(2025, 4, 22), 17, 0.6, 0.2, "Ines Farrow", "new, for Norhaven north mole"),
    20: ("K2-1303", date(2025, 4, 22), 17, 0.8, 0.2, "Ines Farrow", "new, for Norhaven fish quay"),
    48: ("K2-0456", date(2025, 9, 11), 17, 0.4, 0.1, "Petra Lindqvane", "best result of the year; six years at sea"),
}
LIMPET_TOLD = {
    9: ("L3-0398", 20, date(2025, 6, 3), 2.4, 0.011, "Oskar Benn", "recovered at Gullholm"),
    10: ("L3-0399", 20, date(2025, 6, 3), 2.9, 0.017, "Oskar Benn", "frame overturned by a trawler; element sound"),
    22: ("L3-0217", 60, date(2025, 8, 19), 31.0, 0.044, "Petra Lindqvane", "overloaded; element replaced"),
    35: ("L3-0120", 10, date(2025, 11, 6), 0.9, 0.006, "Ines Farrow", "oldest in the pool, built 2014"),
}


def calibration_results() -> dict[str, Rows]:
    return {
        "Kittiwake sample": _kittiwake_calibrations(),
        "Limpet sample": _limpet_calibrations(),
        "References": REFERENCES,
        "Months": MONTHS,
    }


def _kittiwake_calibrations() -> Rows:
    """The instruments of the year that were drawn for the yearly audit; the months' totals count all of them."""
    chance = Random(200)
    serials = chance.sample(range(300, 930), 64)
    rows: list[Sequence[Cell]] = [
        ("Serial", "Date", "Points", "Largest error mm", "Hysteresis mm", "Technician", "Remark", "Result")
    ]
    for at in range(64):
        day = date(2025, 1, 13) + timedelta(days=at * 5 + chance.randrange(3))
        filled = (
            f"K2-{serials[at]:04d}",
            day,
            17,
            round(0.7 + 1.1 * chance.random(), 1),
            round(0.15 + 0.5 * chance.random(), 1),
            TECHNICIANS[chance.randrange(2)],
            None,
        )
        row = KITTIWAKE_TOLD.get(at, filled)
        rows.append((*row, "pass" if row[3] <= KITTIWAKE_LIMIT else "fail"))
    return rows


def _limpet_calibrations() -> Rows:
    chance = Random(320)
    serials = chance.sample(range(130, 216), 40)
    rows: list[Sequence[Cell]] = [
        ("Serial", "Range m", "Date", "Offset change mm", "Residual % of range", "Technician", "Remark", "Result")
    ]
    for at in range(40):
        day = date(2025, 4, 7) + timedelta(days=at * 6 + chance.randrange(3))
        filled = (
            f"L3-{serials[at]:04d}",
            (10, 20, 60)[chance.randrange(3)],
            day,
            round(1.0 + 3 * chance.random(), 1),
            round(0.005 + 0.012 * chance.random(), 3),
            TECHNICIANS[chance.randrange(2)],
            None,
        )
        row = LIMPET_TOLD.get(at, filled)
        rows.append((*row, "pass" if row[4] <= 0.02 else "fail"))
    return rows


REFERENCES: Rows = (
    ("Reference", "Kind", "Uncertainty", "Last certified", "Next due", "Where", "Certificate"),
    ("Old Faithful", "laser interferometer", "0.03 mm", date(2025, 2, 7), date(2026, 8, 7), "institute", "NI-25-0071"),
    ("DW-7", "deadweight tester", "0.004 %", date(2024, 5, 30), date(2027, 5, 30), "Vell", "VI-24-1120"),
    ("Mass set F1-A", "masses", "class F1", date(2023, 10, 12), date(2026, 10, 12), "institute", "NI-23-0904"),
    ("Mass set F1-B", "masses", "class F1", date(2025, 10, 9), date(2028, 10, 9), "institute", "NI-25-0866"),
    ("T-1", "platinum thermometer", "8 mK", date(2025, 3, 18), date(2027, 3, 18), "Vell", "VI-25-0308"),
    ("T-2", "platinum thermometer", "8 mK", date(2025, 3, 18), date(2027, 3, 18), "Vell", "VI-25-0309"),
    ("B-4", "barometer", "6 Pa", date(2025, 6, 24), date(2026, 6, 24), "weather office", "WO-25-3310"),
    ("Gauge pin set 2", "pins", "2 µm", date(2022, 11, 3), date(2026, 11, 3), "here", "HF-C-22-0388"),
    ("Torque tester", "torque", "1 %", date(2025, 1, 28), date(2026, 1, 28), "here", "HF-C-25-0019"),
    ("Level staff 3", "invar staff", "0.02 mm", date(2024, 9, 17), date(2027, 9, 17), "survey office", "SO-24-0655"),
    ("Signal generator", "frequency", "2e-10", date(2025, 5, 13), date(2027, 5, 13), "institute", "NI-25-0412"),
)

MONTHS: Rows = (
    ("Month 2025", "Kittiwakes calibrated", "Limpets calibrated", "Other", "Failed at first", "Mean waiting days"),
    ("January", 31, 9, 4, 2, 6.5),
    ("February", 28, 7, 3, 3, 6.0),
    ("March", 44, 8, 6, 4, 9.5),
    ("April", 47, 16, 5, 3, 12.0),
    ("May", 38, 12, 7, 2, 10.5),
    ("June", 35, 24, 2, 5, 9.0),
    ("July", 22, 19, 1, 1, 7.5),
    ("August", 19, 31, 2, 6, 14.5),
    ("September", 41, 28, 8, 4, 13.0),
    ("October", 46, 21, 6, 3, 11.0),
    ("November", 37, 15, 9, 2, 8.5),
    ("December", 24, 6, 3, 1, 5.0),
    ("Total", 412, 196, 56, 36, None),
)


def price_list() -> dict[str, Rows]:
    return {"Instruments": INSTRUMENTS, "Spare parts": SPARES, "Services": SERVICES, "Discounts": DISCOUNTS}


INSTRUMENTS: Rows = (
    ("Code", "Description", "Price EUR", "Price 2025 EUR", "Delivery weeks", "Valid from"),
    ("K200-S", "Kittiwake 200 radar gauge, standard, 15 m cable", 28400, 27600, 8, date(2026, 1, 1)),
    ("K200-L", "Kittiwake 200 radar gauge, long range to 35 m", 32650, 31700, 10, date(2026, 1, 1)),
    ("K200-H", "Kittiwake 200 radar gauge, heated lens", 33900, 32900, 12, date(2026, 1, 1)),
    ("-C30", "cable of 30 m instead of 15 m", 400, 390, 0, date(2026, 1, 1)),
    ("-C60", "cable of 60 m instead of 15 m", 870, 850, 0, date(2026, 1, 1)),
    ("-M", "mounting arm 2.4 m, galvanised, with hinge", 1520, 1480, 3, date(2026, 1, 1)),
    ("-P / HF-PE-9", "purged enclosure for explosive atmospheres", 6450, 6200, 16, date(2026, 1, 1)),
    ("L320-10", "Limpet 320 bottom pressure sensor, 10 m", 19800, 19400, 6, date(2026, 1, 1)),
    ("L320-20", "Limpet 320 bottom pressure sensor, 20 m", 20900, 20500, 6, date(2026, 1, 1)),
    ("L320-60", "Limpet 320 bottom pressure sensor, 60 m", 23500, 23000, 9, date(2026, 1, 1)),
    ("L320-F", "bottom frame 28 kg, galvanised", 640, 610, 2, date(2026, 1, 1)),
    ("L320-R", "acoustic release for the Limpet 320", 5350, 5350, 14, date(2026, 1, 1)),
    ("LA10", "Lantern 10 logger, mobile network", 8750, 8500, 4, date(2026, 1, 1)),
    ("LA10-S", "solar panel 40 W with mast and battery", 1180, 1180, 4, date(2026, 1, 1)),
    ("D40", "Dipper 40 float gauge; last orders 30 June 2026", 16900, 16200, 20, date(2026, 1, 1)),
    ("TL", "Tideline software, licence for one laptop", 290, 0, 0, date(2026, 4, 1)),
)

SPARES: Rows = (
    ("Order number", "Part", "For", "Pack of", "Price EUR"),
    ("HF-7320", "battery pack 14.4 V, 38 Ah", "Limpet 320", 1, 318),
    ("HF-7344", "regulator board", "Limpet 320", 1, 264),
    ("HF-7410", "main board 64 MB", "Kittiwake 200", 1, 2150),
    ("HF-7415", "exchange board 64 MB for revision D gauges", "Kittiwake 200", 1, 1390),
    ("HF-7502", "modem board", "Lantern 10", 1, 610),
    ("HF-8820", "lens, PTFE, with ring", "Kittiwake 200", 1, 485),
    ("HF-8821", "heated lens, with ring", "Kittiwake 200-H", 1, 1240),
    ("HF-8830", "gull spikes, set", "Kittiwake 200", 4, 36),
    ("HF-9032", "O-ring 42 x 2.5 mm nitrile", "Limpet 320", 10, 19),
    ("HF-9040", "desiccant bag 10 g", "Limpet 320", 25, 28),
    ("HF-9055", "zinc anode 180 g", "Limpet 320", 2, 22),
    ("HF-9056", "magnesium anode 95 g, brackish water", "Limpet 320", 2, 31),
    ("HF-9061", "diaphragm protector, oil-filled", "Limpet 320", 1, 392),
    ("HF-9064", "copper mesh cap with nylon ring", "Limpet 320", 1, 14.5),
    ("HF-9071", "silicone grease 50 g", "all", 1, 12),
    ("HF-9088", "vacuum fitting", "Limpet 320", 1, 74),
    ("HF-9101", "float 140 mm", "Dipper 40", 1, 210),
    ("HF-9102", "tape of stainless steel, 20 m", "Dipper 40", 1, 165),
    ("HF-9120", "tin of lanolin, 200 g", "all", 1, 6.8),
)

SERVICES: Rows = (
    ("Code", "Service", "Unit", "Price EUR", "Remark"),
    ("S-CK", "calibration of a Kittiwake 200 in Port Ansel", "each", 740, "certificate included"),
    ("S-CL", "calibration of a Limpet 320 in Port Ansel", "each", 890, "seals and desiccant included"),
    ("S-CX", "express calibration within five working days", "surcharge", 260, "not in April and September"),
    ("S-SUB", "calibration by subscription, per instrument", "a year", 410, "loan instrument included"),
    ("S-IN", "installation and levelling of one gauge", "each", 2150, "travel extra"),
    ("S-DAY", "field engineer", "day", 980, "weekends plus 50 %"),
    ("S-BOAT", "Sable Tern with crew of three", "day", 4600, "fuel included up to 300 litres"),
    ("S-TR", "training at the customer's, up to eight people", "day", 1650, None),
    ("S-24", "answer by telephone day and night", "a year", 1200, "per harbour"),
    ("S-W5", "warranty prolonged from 36 to 60 months", "of price", 0.06, "gauges only"),
    ("S-LOAN", "loan of a Kittiwake 200", "week", 350, "at least two weeks"),
)

DISCOUNTS: Rows = (
    ("Pieces of one kind", "Discount", "Who may grant it"),
    ("1 to 4", 0, "-"),
    ("5 to 9", 0.06, "sales"),
    ("10 to 24", 0.1, "sales"),
    ("25 to 49", 0.14, "head of sales"),
    ("50 and more", 0.18, "managing director"),
    ("schools and universities", 0.2, "sales"),
    ("lifeboat institutions", 0.3, "sales"),
)

GULLHOLM_OFFER: Sequence[Sequence[object]] = (
    ("Line", "Code", "Description", "Pieces", "List price EUR", "Discount", "Sum EUR"),
    (1, "K200-H", "Kittiwake 200, heated lens", 9, 32900, "12 %", 260568),
    (2, "-M", "mounting arm 2.4 m", 9, 1480, "0 %", 13320),
    (3, "-C30", "cable of 30 m", 9, 390, "0 %", 3510),
    (4, "HF-PE-9", "purged enclosure, oil berth", 1, 6200, "0 %", 6200),
    (5, "LA10", "Lantern 10 logger", 3, 8500, "0 %", 25500),
    (6, "S-IN", "installation and levelling", 9, 2150, "0 %", 19350),
    (7, "-", "freight to the pilot station, insured", 1, 1890, "0 %", 1890),
    (8, "S-CK", "calibration in the third year, included", 9, 0, "0 %", 0),
    (9, "S-TR", "training, two days, included", 1, 0, "0 %", 0),
    ("", "", "Total without tax", "", "", "", 330338),
)
