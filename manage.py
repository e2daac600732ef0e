#!/usr/bin/env python3
"""The service's command line; `python manage.py help` lists what there is."""

from __future__ import annotations

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

#: What a shell makes of a program that SIGINT has ended
INTERRUPTED = 128 + signal.SIGINT
OWN_PYTHON = Path(__file__).resolve().parent / ".venv" / "bin" / "python"


def main() -> None:
    """Run the command that was typed, with the Python that `make run` has set up where this one has no Django."""
    if find_spec("django") is None:
        _hand_over_to_own_python()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "butler.settings")
    if sys.argv[1:2] == ["up"]:
        # At once, for it takes a second or two until the service does it properly
        _heed_stop_signals()
    try:
        _run_command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _heed_stop_signals() -> None:
    # A shell has what a script starts in the background ignore two of these, and that would be for good
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _run_command() -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from butler.command_output import finish_output, give_up_output, is_output_failure, prepare_output

    prepare_output()
    try:
        import django

        django.setup()
        execute_from_command_line(sys.argv)
        finish_output()
    except ImproperlyConfigured as error:
        sys.exit(f"butler: {error}")
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does
        give_up_output()
        sys.exit(1)
    except OSError as error:
        if not is_output_failure(error):
            raise
        give_up_output()
        sys.exit(f"butler: The output cannot be written: {error.strerror}. What the command has changed stays so.")


def _hand_over_to_own_python() -> None:
    if not OWN_PYTHON.exists() or Path(sys.executable) == OWN_PYTHON:
        sys.exit("butler: Django is not installed for this Python. Type `make run` once: it sets up .venv.")
    os.execv(OWN_PYTHON, [str(OWN_PYTHON), *sys.argv])


if __name__ == "__main__":
    main()
