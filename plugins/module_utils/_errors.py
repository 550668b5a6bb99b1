# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors that an operator reads. PRIVATE to the collection: may change at any time."""

from __future__ import annotations


class ReleaseError(Exception):
    """A step of a release cannot go on, and the operator has to do something about it.

    :param message: what is wrong, in one or two sentences, without any secret value.
    :param cure: what to change or to type next; empty where there is nothing to add.
    :param output: last lines of the program that failed, as it printed them.
    """

    def __init__(self, message: str, cure: str = "", output: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure
        self.output = output

    def __str__(self) -> str:
        """Message, cure and output, as the run's output shows them."""
        parts = [self.message]
        if self.cure:
            parts.append(f"To cure it: {self.cure}")
        if self.output.strip():
            parts.append(f"Its last lines:\n{self.output.strip()}")
        return "\n".join(parts)
