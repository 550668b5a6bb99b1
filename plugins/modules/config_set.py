#!/usr/bin/python
# Copyright (c) groundcrew.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config_set
short_description: Put a service's files and units in place as one validated, recoverable change
version_added: 1.0.0
author:
  - Groundcrew contributors (@groundcrew)
description:
  - Takes everything that configures one service, its files, directories, commands and systemd units, and brings the
    server there in one module call. It replaces the usual row of template tasks, a handler and a service task.
  - Templates are rendered on the controller exactly as M(ansible.builtin.template) renders them.
  - O(validate) runs against the new files before they stand in their place, so the service never sees invalid ones.
  - Old copies and everything still to do are in a journal on the server's disk before the first file is replaced.
    When a call dies, at any step, the next call with the same O(name) first completes it (when all files had been
    written) or rolls it back. Nothing depends on a handler that a broken run would have lost.
  - When a file cannot be written, a command fails, or a unit does not take the change, the old files are put back, the
    units are brought back to the state they were in, and the error shows the service's own words.
  - Links are never followed. A link that stands where a file shall be is replaced by the file.
  - On the server, the set keeps C(/var/lib/groundcrew/config_set/<name>.json), the list of files it wrote, and, while
    it works, C(/var/lib/groundcrew/pending/<name>/). Both belong to root alone.
options:
  name:
    description:
      - Names the set on its server, for its journal, its lock and its list of files. Two sets on one server must not
        share a name. It matches C([a-z][a-z0-9_-]*).
    type: str
    required: true
  files:
    description: Files and links of the set. Each has exactly one of V(src), V(content), V(copy) and V(link).
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: Absolute path on the server. Its directory exists, or is listed in O(directories).
        type: str
        required: true
      src:
        description: Template, searched for and rendered as M(ansible.builtin.template) does with its default options.
        type: str
      content:
        description: The text of the file.
        type: str
      copy:
        description: File that is copied as it is, searched for as M(ansible.builtin.copy) does.
        type: str
      link:
        description: Target of a symbolic link at O(files[].dest).
        type: str
      vars:
        description: Variables for this template alone, beside those of the task.
        type: dict
        default: {}
      owner:
        description: User, by name or number, who owns the file.
        type: str
        default: root
      group:
        description: Group, by name or number, of the file.
        type: str
        default: root
      mode:
        description: Octal permissions as a quoted string. By default V("0644"), and V("0600") for a secret file.
        type: str
      secret:
        description:
          - The content is shown nowhere, in no result, diff or log. In error messages of the service, words that stand
            in the file are replaced by asterisks.
        type: bool
        default: false
  directories:
    description: Directories, made before the files. Missing ones above them are made with V("0755"), owned by root.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path on the server.
        type: str
        required: true
      owner:
        description: User, by name or number, who owns the directory.
        type: str
        default: root
      group:
        description: Group, by name or number, of the directory.
        type: str
        default: root
      mode:
        description:
          - Octal permissions as a quoted string.
          - Without it a new directory gets V("0755"). One that exists keeps what it has, because other programs and
            administrators close some of C(/etc) further, but loses the right of group and others to write to it.
          - Owner and group are set all the same.
        type: str
  exclusive:
    description:
      - Directories in which files that this set once wrote, and no longer lists, are removed.
      - An entry is a path, or a dictionary of V(path) and V(foreign). With V(foreign=true) files and links in the
        directory are removed as well when something else wrote them. Directories in it are left alone.
    type: list
    elements: raw
    default: []
  absent:
    description: Files and links that shall not exist.
    type: list
    elements: str
    default: []
  validate:
    description:
      - A command as a list of words, or a list of such commands. Each must exit with status 0.
      - They run when files of the set change, and see the new files at their final paths, in a mount namespace of
        their own, before these are there for anybody else.
    type: list
    elements: raw
    default: []
  commands:
    description: Commands that bring a change of files into effect, after the files are written and before the units.
    type: list
    elements: dict
    default: []
    suboptions:
      argv:
        description: The command as a list of words, none of them secret. Running it twice must do no harm.
        type: list
        elements: str
        required: true
      when_changed:
        description:
          - Shell patterns of paths, by default of all. The command runs when a file that matches one is created,
            changed or removed. An asterisk also matches slashes.
        type: list
        elements: str
        default: ["*"]
  units:
    description:
      - systemd units, in the order in which they are started. Units are stopped and disabled before the files change,
        everything else happens when the files are in place. systemd reads its unit files anew when one changed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Full name of the unit, such as V(nginx.service).
        type: str
        required: true
      state:
        description: Whether it runs. V(none) leaves it as it is.
        type: str
        choices: [started, stopped, none]
        default: none
      enabled:
        description: Whether it starts at boot. Left as it is when omitted.
        type: bool
      on_change:
        description: What a unit that is running does when a file that concerns it changes.
        type: str
        choices: [reload, restart, reload-or-restart, none]
        default: reload-or-restart
      restart_on:
        description: Shell patterns of paths whose change asks for a restart, whatever O(units[].on_change) says.
        type: list
        elements: str
        default: []
      watch:
        description:
          - Shell patterns of paths that concern this unit, by default all of the set. An asterisk also matches slashes.
        type: list
        elements: str
        default: ["*"]
      working:
        description:
          - A command as a list of words that exits with status 0 as long as the unit, while it runs, does its work.
            Otherwise a unit with O(units[].state=started) is treated as after a change of a file; one with
            O(units[].on_change=none) is restarted.
          - It is for units that leave behind what others may take away, such as the rules of a firewall.
        type: list
        elements: str
        default: []
      confirm:
        description:
          - How to see that a start, reload or restart is live. In any case, systemd must call the unit active.
          - A list of words is a command that exits with status 0 once the change is live.
          - V(new_workers) waits for processes below the unit's main process that are newer than the reload. It suits
            services such as nginx, whose reload succeeds even when they keep the old configuration.
        type: raw
      confirm_timeout:
        description: Seconds until an unconfirmed change is taken back.
        type: int
        default: 15
      logs:
        description: Log files of which the lines written meanwhile are shown when the unit fails, beside its journal.
        type: list
        elements: str
        default: []
  reconnect:
    description:
      - The change may lock out whoever makes it, as one of sshd or of a firewall may. It is made only when a fresh
        connection succeeds before it, and it stays only when another one, made after it, confirms it. Otherwise the
        server itself takes it back, also when nobody is connected any more, and after a restart.
      - Where the connection is none of C(ssh), the same connection confirms it.
    type: dict
    suboptions:
      user:
        description: Who has to get in; by default the user of the present connection. He needs to become root.
        type: str
      port:
        description: Where sshd listens after the change, in case that the present port does not lead there.
        type: int
      within:
        description: Seconds after which an unconfirmed change is taken back, 20 to 110.
        type: int
        default: 60
      before:
        description: Whether a fresh connection has to succeed before it, too; not where the change lets the user in.
        type: bool
        default: true
      when_changed:
        description:
          - Shell patterns of paths, by default of all. Only a change of one that matches has to be confirmed. An
            asterisk also matches slashes.
        type: list
        elements: str
        default: ["*"]
  _contents:
    description: The rendered files on their way from the controller. Only the action plugin may set it.
    type: str
  _phase:
    description: The step of a change with O(reconnect). Only the action plugin may set it.
    type: str
    choices: [ask, hold, confirm]
extends_documentation_fragment:
  - groundcrew.django._attributes
attributes:
  check_mode:
    support: full
    details:
      - Validators are not run, and neither a missing package, directory, user nor unit is a failure, because an earlier
        task may be about to bring it.
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Secrets belong into files with V(secret=true), never into O(validate), O(commands) or O(units[].confirm).
  - A default or named-user ACL of a replaced file is not carried over, because the file is a new one.
seealso:
  - module: ansible.builtin.template
  - module: ansible.builtin.systemd_service
"""

EXAMPLES = r"""
- name: Configure nginx
  groundcrew.django.config_set:
    name: nginx
    files:
      - {src: nginx.conf.j2, dest: /etc/nginx/nginx.conf}
      - {src: site.conf.j2, dest: /etc/nginx/sites-enabled/shop.conf, vars: {domain: shop.example.com}}
    exclusive:
      - {path: /etc/nginx/sites-enabled, foreign: true}
    validate: [nginx, -t]
    units:
      - name: nginx.service
        state: started
        enabled: true
        on_change: reload
        confirm: new_workers
        logs: [/var/log/nginx/error.log]

- name: Install a timer with its password file
  groundcrew.django.config_set:
    name: report
    directories:
      - {path: /etc/report, mode: "0750"}
    files:
      - {src: report.service.j2, dest: /etc/systemd/system/report.service}
      - {src: report.timer.j2, dest: /etc/systemd/system/report.timer}
      - {content: "{{ report_password }}\n", dest: /etc/report/password, secret: true}
    validate: [systemd-analyze, verify, /etc/systemd/system/report.service]
    units:
      - {name: report.timer, state: started, enabled: true, on_change: restart}

- name: Create the system users that a package's users file describes
  groundcrew.django.config_set:
    name: users
    files:
      - {copy: groundcrew.conf, dest: /etc/sysusers.d/groundcrew.conf}
    commands:
      - {argv: [systemd-sysusers], when_changed: [/etc/sysusers.d/groundcrew.conf]}

- name: Let sshd listen on another port, and take that back unless it can be reached there
  groundcrew.django.config_set:
    name: sshd
    files:
      - {content: "Port 2222\n", dest: /etc/ssh/sshd_config.d/10-port.conf}
    validate: [sshd, -t]
    units:
      - {name: ssh.service, on_change: reload}
    reconnect: {port: 2222}

- name: Remove the timer
  groundcrew.django.config_set:
    name: report
    absent:
      - /etc/systemd/system/report.service
      - /etc/systemd/system/report.timer
      - /etc/report/password
    units:
      - {name: report.timer, state: stopped, enabled: false}
"""

RETURN = r"""
files:
  description: Files, links and directories that changed.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Where it is.
      type: str
    state:
      description: One of V(created), V(changed) and V(removed).
      type: str
  sample: [{"path": "/etc/nginx/nginx.conf", "state": "changed"}]
units:
  description: What was done to units.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The unit.
      type: str
    action:
      description: One of V(stop), V(disable), V(enable), V(start), V(reload), V(restart) and V(reload-or-restart).
      type: str
  sample: [{"name": "nginx.service", "action": "reload"}]
validated:
  description: Whether O(validate) was run, and found nothing.
  returned: success
  type: bool
  sample: true
recovered:
  description:
    - What an earlier call that was interrupted had left, and what became of it. Null when there was nothing.
    - In check mode V(outcome) is V(would_be_completed) or V(would_be_rolled_back).
  returned: success
  type: dict
  contains:
    found:
      description: How far the earlier call had come, V(writing), V(written) or V(undoing).
      type: str
    outcome:
      description: V(completed) or V(rolled_back).
      type: str
    files:
      description: The paths that it was about to change.
      type: list
      elements: str
    reason:
      description: Why a call that had written all files was rolled back nevertheless.
      type: str
  sample: {"found": "written", "outcome": "completed", "files": ["/etc/nginx/nginx.conf"], "reason": ""}
reconnected:
  description: The user and the port of the connection that confirmed the change.
  returned: when O(reconnect) is given and something changed
  type: dict
  contains:
    user:
      description: Who got in; null for whom the SSH configuration names.
      type: str
    port:
      description: By which port; null for the one that the SSH configuration names.
      type: int
  sample: {"user": "admin", "port": 22}
rolled_back:
  description: Whether the failed change was taken back as a whole.
  returned: failure, once files or units had been touched
  type: bool
  sample: true
diff:
  description: Per file, link or directory, what it was and what it becomes.
  returned: in diff mode
  type: list
  elements: dict
  sample: [{"before_header": "/etc/motd", "after_header": "/etc/motd", "before": "Hello\n", "after": "Welcome\n"}]
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils._config_set import (
    ASK,
    CONFIRM,
    HOLD,
    MODULE_ARGUMENT_SPEC,
    ConfigSetError,
    file_diff,
    file_results,
    unit_results,
    unpack_contents,
    wanted_from,
)
from ansible_collections.groundcrew.django.plugins.module_utils._config_set_apply import confirm, converge
from ansible_collections.groundcrew.django.plugins.module_utils._config_set_system import System


def main() -> None:
    module = AnsibleModule(argument_spec=MODULE_ARGUMENT_SPEC, supports_check_mode=True)
    if os.geteuid() != 0:
        module.fail_json(msg="config_set needs to be root on the server: set become")
    phase = module.params["_phase"]
    wanted = wanted_from(module.params, unpack_contents(module.params["_contents"]))
    try:
        if phase == CONFIRM:
            confirm(System(), wanted.name)
            module.exit_json(changed=True)
        outcome = converge(System(), wanted, module.check_mode, ask=phase == ASK)
    except ConfigSetError as error:
        module.fail_json(msg=f"config_set {wanted.name}: {error}", **error.details)
    except OSError as error:
        module.fail_json(msg=f"config_set {wanted.name}: {error}")
    if outcome.recovered:
        module.warn(
            f"config_set {wanted.name}: an interrupted earlier call was found ({outcome.recovered['found']}): "
            f"{outcome.recovered['outcome']}"
        )
    result = {
        "changed": bool(outcome.recovered) or outcome.plan.changed,
        "files": file_results(outcome.plan),
        "units": unit_results(outcome.plan),
        "validated": outcome.validated,
        "recovered": outcome.recovered,
    }
    if phase in (ASK, HOLD):
        result["pending"] = outcome.pending
    if module._diff:
        result["diff"] = [file_diff(step) for step in outcome.plan.changes]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
