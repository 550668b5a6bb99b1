# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a rollback leads; the way there is seen on real servers."""

from __future__ import annotations

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _ledger
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._rollback import choose

STATES = {"r1": _ledger.GOOD, "r2": _ledger.FAILED, "r3": _ledger.GOOD, "r4": _ledger.ROLLED_BACK, "r5": _ledger.GOOD}
HISTORY = [_ledger.Entry(release, "", "", "", "", state=state) for release, state in STATES.items()]


@pytest.mark.parametrize(
    ("live", "wanted", "present", "chosen"),
    [
        ("r5", "", "r1 r3 r5", "r3"),
        ("r5", "", "r1 r5", "r1"),
        ("r5", "r1", "r1 r3 r5", "r1"),
        ("r3", "", "r1 r3 r5", "r1"),
        # Forward again only where somebody says so.
        ("r1", "r5", "r1 r3 r5", "r5"),
        # The ledger was lost: the live release is not in it.
        ("r6", "", "r1 r3 r6", "r3"),
    ],
)
def test_where_a_rollback_leads(live: str, wanted: str, present: str, chosen: str) -> None:
    assert choose(HISTORY, present.split(), live, wanted) == chosen


@pytest.mark.parametrize(
    ("live", "wanted", "present", "message", "cure"),
    [
        ("", "", "", "Nothing is live yet", "deploy first"),
        ("r5", "r5", "r3 r5", "r5 is what is live", "-e release=ID: r3"),
        ("r1", "", "r1 r5", "no good release before r1", "-e release=ID: r5"),
        ("r5", "r2", "r2 r3 r5", "r2 is failed", "-e release=ID: r3"),
        ("r5", "r4", "r3 r4 r5", "r4 is rolled back", "-e release=ID: r3"),
        ("r5", "r1", "r3 r5", "r1 was pruned", "-e release=ID: r3"),
        ("r5", "r9", "r5", "r9 was never here", "deploy the version that you want"),
    ],
)
def test_where_a_rollback_does_not_lead(live: str, wanted: str, present: str, message: str, cure: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        choose(HISTORY, present.split(), live, wanted)
    assert message in caught.value.message
    assert cure in caught.value.cure
