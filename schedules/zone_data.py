"""Which edition of the IANA time zone database this process computes with: the newer of the system's and the package's.

Python prefers the system's, however old it is. Countries change their rules at short notice, so an old edition starts
tasks at the wrong hour.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Where a database says its edition: Debian, Red Hat and others, then macOS and BSD
_VERSION_FILES = ("tzdata.zi", "+VERSION")
_VERSION = re.compile(r"\b(\d{4})([a-z]{1,2})\b")


@dataclass(frozen=True, slots=True)
class ZoneData:
    """The editions, such as 2026f; empty where there is none, or it does not say.

    `used` is the one that this process computes with, `package` that of the Python package tzdata.
    """

    used: str
    package: str
    system: str

    def __str__(self) -> str:
        if self.used != self.package:
            return (
                f"{self.used or 'an unknown edition'}, of the system; the package tzdata has {self.package or 'none'}"
            )
        return f"{self.used}, of the package tzdata; the system has {self.system or 'none known'}"


@cache
def use_newest() -> ZoneData:
    """Have this process compute with the newest edition that there is, and return which that is.

    To be called before any zone is loaded; further calls return what the first one found.
    """
    folder, package = _find_package()
    system_folder = next((path for path in map(Path, zoneinfo.TZPATH) if _has_zones(path)), None)
    system = _read_version(system_folder) if system_folder else ""
    if not package or (system_folder and _rank(system) > _rank(package)):
        return ZoneData(used=system, package=package, system=system)
    # A folder, because through importlib the first zone would cost 30 ms; the system's stay for zones of its own
    _search(() if folder is None else (str(folder), *zoneinfo.TZPATH))
    return ZoneData(used=package, package=package, system=system)


def _search(path: Sequence[str]) -> None:
    zoneinfo.reset_tzpath(to=path)
    zoneinfo.ZoneInfo.clear_cache()


def _find_package() -> tuple[Path | None, str]:
    """Return the folder of the package's zones, None for one in an archive, and its edition."""
    try:
        import tzdata
    except ImportError:
        return None, ""
    folder = Path(tzdata.__file__).parent / "zoneinfo"
    return (folder if folder.is_dir() else None), tzdata.IANA_VERSION


def _has_zones(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("UTC", "Etc", "Europe", "America", "Asia", "Africa", "Australia"))


def _read_version(folder: Path) -> str:
    for name in _VERSION_FILES:
        try:
            with (folder / name).open(encoding="ascii", errors="replace") as file:
                found = _VERSION.search(file.readline(200))
        except OSError:
            continue
        if found:
            return found[0]
    return ""


def _rank(version: str) -> tuple[int, int, str]:
    """Return what makes editions comparable: after 2026z comes 2026za; what does not say is the oldest."""
    found = _VERSION.fullmatch(version)
    return (int(found[1]), len(found[2]), found[2]) if found else (0, 0, "")
