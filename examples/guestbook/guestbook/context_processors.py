from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def release(request: HttpRequest) -> dict[str, str]:
    return {"release": settings.RELEASE}
