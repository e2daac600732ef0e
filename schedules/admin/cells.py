"""Small pieces of HTML for lists and read-only fields."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from schedules.models import Run

#: unfold's colours for the states of a run; what is not here is grey
_RUN_COLOURS: dict[str, str] = {
    Run.State.PLANNED: "info",
    Run.State.QUEUED: "info",
    Run.State.CLAIMED: "info",
    Run.State.RETRYING: "warning",
    Run.State.WAITING: "info",
    Run.State.UNSURE: "warning",
    Run.State.STARTED: "info" if settings.BUTLER_FOLLOW_RELOADS else "success",
    Run.State.SUCCEEDED: "success",
    Run.State.FAILED: "danger",
    Run.State.ABORTED: "danger",
    Run.State.REFUSED: "danger",
    Run.State.UNREACHABLE: "danger",
    Run.State.UNKNOWN: "warning",
}


def label(text: str, colour: str = "") -> SafeString:
    """Return a coloured label; `colour` is one of unfold's names, grey where there is none."""
    return SafeString(render_to_string("unfold/helpers/label.html", {"text": text, "type": colour}).strip())


def run_state_label(state: str) -> SafeString:
    """Return the label of a run's state; a state that this version does not know is shown as it is."""
    text = dict(Run.State.choices).get(state, state)
    return label(str(text), _RUN_COLOURS.get(state, ""))


def stack(first: str, *notes: str) -> SafeString:
    """Return a line with smaller ones beneath it; what is empty is left out."""
    line = format_html("<span>{}</span>", first) if first else ""
    small = format_html_join("", '<span class="cell-note">{}</span>', ((note,) for note in notes if note))
    return format_html('<span class="cell">{}{}</span>', line, small)


def link(url: str, text: str) -> SafeString:
    """Return a link that can be told from the text around it."""
    return format_html('<a href="{}" class="text-link">{}</a>', url, text)


def code(text: str) -> SafeString:
    """Return text as it is typed or copied: cron expressions, ids."""
    return format_html('<code class="cell-code">{}</code>', text)


def short_id(text: str) -> SafeString:
    """Return the beginning of an id; all of it shows when the mouse rests on it."""
    return with_title(code(f"{text[:8]}…" if len(text) > 20 else text), text)


def with_title(text: str, title: str) -> SafeString:
    """Return text that shows `title` when the mouse rests on it."""
    return format_html('<span title="{}">{}</span>', title, text)


def labels(texts: Iterable[object]) -> SafeString:
    """Return small labels side by side, such as a schedule's tags."""
    return format_html_join(" ", '<span class="cell-tag">{}</span>', ((text,) for text in texts))


def caution(text: str) -> SafeString:
    """Return text in the colour of a warning: worth a look, and perhaps no fault at all."""
    return format_html('<span class="cell-caution">{}</span>', text)


def warning(text: str) -> SafeString:
    """Return text in the colour of an error."""
    return format_html('<span class="cell-warning">{}</span>', text)
