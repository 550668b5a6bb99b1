"""A visitor sees the site that the newest Ansible has made."""

from __future__ import annotations

import pytest
from visitor import Visitor

testinfra_hosts = ["newest-core-target"]


@pytest.mark.parametrize("app", ["guestbook", "live"])
def test_the_page_comes_by_tls_that_the_acme_server_vouches_for(visitor: Visitor, app: str) -> None:
    answer = visitor.get(f"https://{app}.{visitor.name}.test/database/")
    assert answer.status == 200
    assert "Guestbook" in answer.text
