"""In which form the API answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class WillingNegotiation(DefaultContentNegotiation):
    """Heed the Accept header where there is a choice, and answer in the first form to whoever asks for another.

    Scripts and connectors send Accept headers that nobody chose; 406 would help none of them.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer and its own media type, without parameters from the header."""
        forms = {renderer.media_type: renderer for renderer in renderers}
        media_type = request.get_preferred_type(list(forms)) or next(iter(forms))
        return forms[media_type], media_type


class StatusTextRenderer(BaseRenderer):
    """The status of all schedules, a line for each, as the library inside Butler prints it."""

    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"

    def render(
        self,
        data: Sequence[Mapping[str, str]] | None,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the text for the rows that StatusSerializer makes; None is an answer without a body."""
        if data is None:
            return ""
        lines = [f"'{row['id']}': {row['cronSchedule']} status: {row['status']}" for row in data]
        return "\n".join(["{", *lines, "}"])
