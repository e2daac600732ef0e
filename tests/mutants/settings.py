"""The settings of the tests, with a database on SQLite that is migrated already: it saves each mutant a second."""

from __future__ import annotations

import os
import shutil

from tests.settings import *  # noqa: F403

shutil.copy(os.environ["MUTANTS_DATABASE"], DATABASES["default"]["TEST"]["NAME"])  # noqa: F405
