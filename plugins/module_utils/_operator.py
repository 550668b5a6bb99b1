# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an operator still waits for the answer of a module. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import sys

# Seconds between two signs of life to the operator's side, which is how its end is noticed.
BEAT = 2


def show_life() -> None:
    """Write something that Ansible overlooks.

    :raises OSError: as soon as nobody reads it any more.
    """
    sys.stdout.write("\n")
    sys.stdout.flush()
