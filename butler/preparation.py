"""What must be done once before the processes of the service start."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import DatabaseError

from butler.environment import without_password
from butler.errors import StartError
from butler.private_files import write_private
from schedules.changes import Origin
from schedules.models import ScheduleChange
from schedules.services import apply_startup_states

ADMIN_USER = "admin"


@dataclass(frozen=True, slots=True)
class AdminLogin:
    """The first administrator; `password` is None where people have made their own logins."""

    password: str | None
    kept_in: Path

    def __str__(self) -> str:
        if self.password is None:
            return "as you set it (python manage.py changepassword NAME)"
        return f"{ADMIN_USER} / {self.password}   (kept in the file {self.kept_in.name})"


def prepare_service() -> AdminLogin:
    """Bring the database up to date, apply BUTLER_START_STATE and make sure that somebody can log in.

    Raises StartError when the database cannot be used.
    """
    try:
        call_command("migrate", verbosity=0, interactive=False)
        if settings.BUTLER_START_STATE == "startup":
            apply_startup_states(origin=Origin(ScheduleChange.Source.STARTUP))
        return ensure_administrator(settings.BUTLER_DATA_DIR / "admin-password")
    except DatabaseError as error:
        raise StartError(
            f"The database {_name_database()} cannot be used: {str(error).strip()}.\n"
            "Check that its server runs, or that its folder can be written to and has room, and DATABASE_URL."
        ) from error


def _name_database() -> str:
    return without_password(settings.DATABASE_URL) or str(settings.DATABASES["default"]["NAME"])


def ensure_administrator(password_file: Path) -> AdminLogin:
    """Make the first administrator where there is no user at all, with a random password kept in the file.

    The password is given back as long as it is that user's.
    """
    users = get_user_model()._default_manager
    if not users.exists():
        password = secrets.token_urlsafe(12)
        write_private(password_file, f"{password}\n")
        users.create_superuser(username=ADMIN_USER, email="", password=password)
        return AdminLogin(password, password_file)
    kept = password_file.read_text().strip() if password_file.exists() else ""
    user = users.filter(username=ADMIN_USER, is_active=True).first()
    is_valid = bool(kept and user and user.check_password(kept))
    return AdminLogin(kept if is_valid else None, password_file)
