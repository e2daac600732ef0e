"""HTML in which every text is escaped unless it says that it is HTML already."""

from __future__ import annotations

from html import escape

VOID = {"input", "link", "meta"}


class Html(str):
    """Text that is HTML."""

    __slots__ = ()


def element(name: str, /, *children: str | None, **attributes: str | bool) -> Html:
    """Return an element. Texts are escaped, None is left out; `class_` stands for class, False for no attribute."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape("" if value is True else str(value))}"'
        for key, value in attributes.items()
        if value is not False
    )
    inner = "" if name in VOID else f"{join(*children)}</{name}>"
    return Html(f"<{name}{words}>{inner}")


def join(*children: str | None) -> Html:
    """Return HTML and escaped texts one after another."""
    texts = (child for child in children if child is not None)
    return Html("".join(text if isinstance(text, Html) else escape(text) for text in texts))
