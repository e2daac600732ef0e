"""A clone of the project in a folder of a test's choice, with a .env of its own, and commands that run in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PARTS = ("butler", "schedules", "qlik", "manage.py", "gunicorn.conf.py")
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


class Clone:
    """The code of the service in `folder`; what runs there sees no settings but those that a test gives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, folder / part)

    def write_env(self, text: str | bytes) -> None:
        """Make the .env of the clone."""
        (self.folder / ".env").write_bytes(text.encode() if isinstance(text, str) else text)

    def manage(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Type `python manage.py ...` there."""
        return self.run(sys.executable, "manage.py", *arguments, **settings)

    def run(self, *command: str, cwd: Path | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command there, or in another folder."""
        inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
        return subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=inherited | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def read(self, *names: str, **settings: str) -> Any:
        """Return the values that the service sees of these settings, as JSON has them."""
        code = (
            "import django, json; django.setup(); from django.conf import settings as s;"
            f"print(json.dumps({{n: str(getattr(s, n)) for n in {names}}}))"
        )
        answer = self.run(sys.executable, "-c", code, DJANGO_SETTINGS_MODULE="butler.settings", **settings)
        assert answer.returncode == 0, answer.stderr
        found = json.loads(answer.stdout)
        return found if len(names) > 1 else found[names[0]]
