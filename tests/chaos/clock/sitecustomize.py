"""Turns the wall clock of a Python process by the seconds that the file $CHAOS_CLOCK holds, within 20 ms.

Python imports this module by itself at its start when this folder is on PYTHONPATH. Monotonic clocks go on.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine


def turn_with(file: Path) -> None:
    """Follow the file for as long as the process lives."""
    turned, coordinates = 0.0, None
    while True:
        wanted = float(file.read_text() or 0) if file.exists() else 0.0
        if wanted != turned:
            if coordinates is None:
                coordinates = time_machine.travel(datetime.now(UTC), tick=True).start()
            coordinates.shift(timedelta(seconds=wanted - turned))
            turned = wanted
        # The real clock's pause, for time.sleep follows the monotonic one
        time.sleep(0.02)


if _file := os.environ.get("CHAOS_CLOCK"):
    threading.Thread(target=turn_with, args=[Path(_file)], daemon=True).start()
