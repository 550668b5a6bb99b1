from __future__ import annotations

from django.contrib import admin

from .models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    list_display = ["name", "message", "image", "created"]
    list_filter = ["created"]
    search_fields = ["name", "message"]
