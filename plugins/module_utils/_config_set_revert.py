# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the timer starts that takes a held change back. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import sys

from ansible_collections.groundcrew.django.plugins.module_utils._config_set_apply import revert
from ansible_collections.groundcrew.django.plugins.module_utils._config_set_system import System


def main(name: str) -> None:
    """Take back what is held under a name; the journal hears what cannot be put back."""
    notes = revert(System(), name)
    sys.exit("\n".join(notes) or 0)
