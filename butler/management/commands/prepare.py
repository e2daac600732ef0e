"""`manage.py prepare`: what must be done once before the processes start, where they are started one by one."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from butler.errors import StartError
from butler.preparation import prepare_service


class Command(BaseCommand):
    help = "Brings the database up to date, applies BUTLER_START_STATE and makes the first admin user."

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, and say who can log in."""
        try:
            login = prepare_service()
        except StartError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The database is up to date. Admin login: {login}")
