"""`manage.py up`: the whole service on one machine, in one terminal. `make run` ends in it."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from butler.checks import QRS_TAG
from butler.errors import StartError
from butler.processes.console import Console
from butler.processes.service import Service


class Command(BaseCommand):
    help = "Starts web server, beat, worker and what they need, and keeps them running until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the service until it is told to stop."""
        self.check(tags=[QRS_TAG], include_deployment_checks=True)
        console = Console.on(sys.stdout, environment=os.environ)
        try:
            asyncio.run(Service(console).run())
        except StartError as error:
            raise CommandError(str(error)) from error
        finally:
            console.close()
