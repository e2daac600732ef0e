"""HTML in which texts are escaped."""

from __future__ import annotations

from qlik.simulator.markup import Html, element, join


def test_texts_are_escaped_and_html_is_not() -> None:
    inner = element("b", "<&>\"'")
    assert inner == "<b>&lt;&amp;&gt;&quot;&#x27;</b>"
    assert element("p", inner, "&", None, Html("<br>")) == f"<p>{inner}&amp;<br></p>"
    assert join("<", element("i")) == "&lt;<i></i>"


def test_attributes_are_escaped() -> None:
    assert element("a", class_="x", title="\"'<>", data_live=True, disabled=False) == (
        '<a class="x" title="&quot;&#x27;&lt;&gt;" data-live=""></a>'
    )


def test_an_element_without_content_has_no_end() -> None:
    assert element("input", name="a", value="b") == '<input name="a" value="b">'
