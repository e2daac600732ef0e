"""Forms that leave a text which nobody touched as it is, with the white space that a browser does not show."""

from __future__ import annotations

from typing import Any

from django import forms


class KeptTextsForm(forms.BaseForm):
    """Mixes into a form of a row: Django's own trims each text, and so edits what somebody else has written."""

    instance: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self._text_fields().values():
            # Else one that is nothing but white space would be missing
            field.strip = False

    def clean(self) -> Any:
        """Trim what was typed, and put the row's own texts in the place of what was only sent back."""
        cleaned = super().clean()
        for name, field in self._text_fields().items():
            text = self.cleaned_data.get(name)
            if not isinstance(text, str):
                continue
            if self._is_untouched(name):
                self.cleaned_data[name] = getattr(self.instance, name)
            elif field.required and text and not text.strip():
                self.add_error(name, field.error_messages["required"])
            else:
                self.cleaned_data[name] = text.strip()
        return cleaned

    def _is_untouched(self, name: str) -> bool:
        shown, sent = self.initial.get(name), self.data.get(self.add_prefix(name))
        if self.instance.pk is None or not isinstance(shown, str) or not isinstance(sent, str):
            return False
        # A text input leaves the ends of lines out, a text area has its own
        return "".join(shown.splitlines()) == "".join(sent.splitlines())

    def _text_fields(self) -> dict[str, forms.CharField]:
        texts = {name: field for name, field in self.fields.items() if isinstance(field, forms.CharField)}
        return {name: field for name, field in texts.items() if type(field).to_python is forms.CharField.to_python}
