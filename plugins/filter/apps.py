# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over ``django_apps``: the app record and its slices. Each has its documentation in a file beside this one."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.groundcrew.django.plugins.module_utils import _app_checks as checks
from ansible_collections.groundcrew.django.plugins.module_utils import _app_slices as slices
from ansible_collections.groundcrew.django.plugins.module_utils._app_spec import AppError


def _plain(value: t.Any) -> t.Any:
    """A value without the wrappers of some versions of Ansible: an inline ``!vault`` is no ``str`` on core 2.18."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if hasattr(value, "_ciphertext") else value


def _records(apps: t.Any, secrets: t.Any = None) -> list[dict[str, t.Any]]:
    try:
        return checks.app_records(_plain(apps), _plain(secrets))
    except AppError as error:
        raise AnsibleFilterError(f"the description of the apps cannot be used:\n{error}") from error


def _slice(cut: Callable[[list[dict[str, t.Any]]], t.Any]) -> Callable[[t.Any], t.Any]:
    return lambda apps: cut(_records(apps))


def _redis_instances(apps: t.Any, secrets: t.Any = None) -> t.Any:
    return slices.redis_instances(_records(apps, secrets), _plain(secrets or {}))


class FilterModule:
    """The filters, as Ansible looks them up."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Each by its name."""
        return {
            "app_problems": lambda apps, secrets=None: checks.app_problems(_plain(apps), _plain(secrets or {})),
            "app_records": _records,
            "certbot_certificates": _slice(slices.certbot_certificates),
            "host_packages": _slice(slices.host_packages),
            "host_users": _slice(slices.host_users),
            "nginx_sites": _slice(slices.nginx_sites),
            "postgresql_databases": _slice(slices.postgresql_databases),
            "postgresql_users": _slice(slices.postgresql_users),
            "redis_instances": _redis_instances,
        }
