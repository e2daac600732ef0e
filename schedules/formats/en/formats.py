"""How the admin writes instants where no page says otherwise: with the zone, which is UTC."""

from __future__ import annotations

DATETIME_FORMAT = "Y-m-d H:i:s T"
