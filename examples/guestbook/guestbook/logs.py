from __future__ import annotations

import logging

from django.http import HttpRequest


class RequestId(logging.Filter):
    """Gives each record the id under which the proxy's access log knows the request; "-" where there is none."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        found = request.headers.get("X-Request-ID") if isinstance(request, HttpRequest) else None
        record.request_id = found or "-"
        return True
