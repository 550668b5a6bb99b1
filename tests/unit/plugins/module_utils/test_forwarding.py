# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.plugins.loader import lookup_loader

from ansible_collections.groundcrew.django.plugins.module_utils import _forwarding as forwarding


def test_no_header_is_named_twice() -> None:
    names = [*forwarding.VISITOR_HEADERS, *forwarding.SCHEME_HEADERS, *forwarding.CLEARED]
    assert len({name.lower() for name in names}) == len(names)


def test_gunicorn_sees_no_contradiction() -> None:
    """It answers 400 when one of the headers that it knows says https and another says http."""
    known = {"X-Forwarded-Protocol": "ssl", "X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "on"}
    assert known.items() <= forwarding.SCHEME_HEADERS.items()


@pytest.mark.parametrize(
    "name", ["Forwarded", "Proxy", "X-Forwarded-Prefix", "True-Client-IP", "CF-Connecting-IP", "X-Accel-Redirect"]
)
def test_what_nobody_sets_is_taken_away(name: str) -> None:
    assert forwarding.forwarding_headers()[name] == ""


def test_the_id_of_a_request_is_nginxs_own() -> None:
    assert forwarding.forwarding_headers()["X-Request-ID"] == "$request_id"


def test_the_lookup_returns_the_list() -> None:
    lookup = lookup_loader.get("groundcrew.django.forwarding_headers")
    assert lookup.run([], variables={}) == [forwarding.forwarding_headers()]
