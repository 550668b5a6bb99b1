# Copyright (c) groundcrew.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that every module of the collection documents. Private to the collection."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Predicts the changes in C(check_mode) and touches nothing.
  diff_mode:
    description: Returns what changes, before and after, in C(diff_mode).
  idempotent:
    description: A second run with the same arguments, on an unchanged server, changes nothing.
  platform:
    description: Servers that the module is made for and tested on.
    support: full
    platforms: debian
"""
