"""The door OpenVINO comes in by, at run time: `from retrieval.openvino_door import openvino`.

Importing `openvino` as it is would load its conversion tools, which send a "general_import" event to the vendor from a
child process, with no switch in code or environment. Both packages are optional to it: an entry of None in
`sys.modules` makes its own import of them fail, and it goes on without. That also saves 9 MB and 100 ms a process.
"""

from __future__ import annotations

import sys
from typing import Any

_UNWANTED: dict[str, Any] = {"openvino_telemetry": None, "openvino.tools.ovc": None}
sys.modules.update({name: module for name, module in _UNWANTED.items() if name not in sys.modules})

import openvino  # noqa: E402

__all__ = ["openvino"]
