from __future__ import annotations

from django import forms

from .models import IMAGE_EXTENSIONS, Entry


class EntryForm(forms.ModelForm):
    class Meta:
        model = Entry
        fields = ["name", "message", "image"]
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "name", "placeholder": "Ada"}),
            "message": forms.Textarea(attrs={"rows": 4, "placeholder": "Hello from …"}),
            "image": forms.FileInput(attrs={"accept": ",".join(f".{extension}" for extension in IMAGE_EXTENSIONS)}),
        }
