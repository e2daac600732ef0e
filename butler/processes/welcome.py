"""What people read when the service is ready."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

WIDTH = 80

_NEXT_STEPS = """\
{where}

  python3 manage.py schedules import docs/examples/schedules.yaml
  curl {api}
  curl -X POST {api} \\
    -H 'Content-Type: application/json' -d '{{"name":"Every 5 sec",
    "cronSchedule":"*/5 * * * * *","timezone":"Europe/Stockholm",
    "qlikSenseTaskId":"0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",
    "startupState":"started","tags":["tag 1","abc 123 åäö"]}}'

Below is the log, each line behind the name of its process; the worker's tell of
each start. Ctrl-C stops everything.
"""


def welcome(*, seconds: float, address: str, facts: Mapping[str, str], needed: Iterable[str] = ()) -> str:
    """Return the text: how long the start took, where things are, and what to try next.

    `needed` are the settings of this terminal that a second one does not have by itself.
    """
    places = "\n".join(_wrap(word, explanation) for word, explanation in facts.items())
    names = ", ".join(needed)
    where = f"Next, in a second terminal{f' with the same {names}' if names else ''}:"
    next_steps = _NEXT_STEPS.format(where=textwrap.fill(where, width=WIDTH), api=f"http://{address}/v4/schedules")
    return f"\nButler is ready after {seconds:.1f} s.\n\n{places}\n\n{next_steps}\n"


def _wrap(word: str, explanation: str) -> str:
    return textwrap.fill(
        explanation,
        width=WIDTH,
        initial_indent=f"  {word:<11} ",
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
    )
