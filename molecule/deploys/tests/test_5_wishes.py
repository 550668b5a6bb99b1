"""What an operator may ask of a deploy beside the version."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop import Shop, assert_right, says, unharmed

HOOKED = ("fetched", "built", "checked", "migrated", "live", "failed")


class Hooks:
    """Task files of the operator's; each writes down that it ran, and what was live then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.notes.touch()
        self.files = {step: str(folder / f"{step}.yml") for step in HOOKED}
        for step in HOOKED:
            self.write(step, "")

    def write(self, step: str, more: str) -> None:
        text = f"""
- name: Look what is live
  ansible.builtin.command: readlink {{{{ app.paths.current }}}}
  register: live
- name: Write it down
  ansible.builtin.lineinfile:
    path: {self.notes}
    line: "{step} {{{{ live.stdout | basename }}}}"
    create: true
  delegate_to: localhost
  become: false
{more}"""
        Path(self.folder, f"{step}.yml").write_text(text)

    @property
    def noted(self) -> list[list[str]]:
        return [line.split() for line in self.notes.read_text().splitlines()]


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path)


def test_tasks_of_the_operator_run_between_the_steps(shop: Shop, hooks: Hooks) -> None:
    before = shop.settled()
    following = shop.another()
    with shop.nobody_notices():
        shop.deploy(following, app_deploy_hooks=hooks.files)
    after = shop.settled()
    assert_right(shop, following, after)
    assert hooks.noted == [*([step, before.current] for step in HOOKED[:4]), ["live", after.current]]


def test_a_task_of_the_operator_that_fails_abandons_the_release(shop: Shop, hooks: Hooks) -> None:
    hooks.write("checked", "- name: Ask the boss\n  ansible.builtin.fail: {msg: The boss says no.}\n")
    before = shop.settled()
    with shop.nobody_notices():
        said = shop.refused(app_deploy_hooks=hooks.files)
    assert says("Ask the boss: The boss says no.", said), said
    assert [step for step, _live in hooks.noted] == ["fetched", "built", "checked", "failed"]
    unharmed(before, shop.settled(), noted=True)


def test_a_task_of_the_operator_that_fails_after_the_switch_takes_nothing_back(shop: Shop, hooks: Hooks) -> None:
    hooks.write("live", "- name: Purge the CDN\n  ansible.builtin.fail: {msg: The CDN is down.}\n")
    following = shop.another()
    with shop.nobody_notices():
        said = shop.refused(following, app_deploy_hooks=hooks.files)
    assert says("Purge the CDN: The CDN is down.", said), said
    assert_right(shop, following, shop.settled())


def test_without_the_smoke_test_the_gate_alone_decides(shop: Shop) -> None:
    """The health page of this version is well by its socket, and too much for nginx."""
    with shop.nobody_notices():
        shop.deploy("huge-header", {"health": "/healthz"}, app_deploy_smoke_test=False)
    assert_right(shop, "huge-header", shop.settled())


def test_the_ledger_and_the_journal_know_who_deployed_and_why(shop: Shop) -> None:
    shop.deploy(app_deploy_why="new prices")
    entry = shop.settled().entry()
    assert entry["why"] == "new prices"
    assert "@" in entry["who"]
    assert set(entry["durations"]) == {"fetched", "built", "checked", "migrated", "live"}
    line = shop.root(f"journalctl --output=cat GROUNDCREW_RELEASE={entry['id']}")
    assert line == f"shop: deploy of {entry['id']} by {entry['who']}: good"
    fields = shop.root(f"journalctl --output=json GROUNDCREW_RELEASE={entry['id']}")
    assert '"GROUNDCREW_WHY":"new prices"' in fields
