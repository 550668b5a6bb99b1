"""Deploys that come to a sudden end: the site goes on, and the next deploy heals what was left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shop import STEPS, Deploy, Shop, assert_right, says
from testbed import server
from testbed.engine import docker
from testbed.system import TestbedError


def controller(shop: Shop, deploy: Deploy) -> None:
    """The operator's machine loses its power."""
    deploy.kill()


# With pipelining a module is a Python that has no script.
MODULE = "pkill -KILL -f '^/usr/bin/python3[.0-9]*$'"
ENGINE = "systemctl kill --signal=KILL shop-deploy.service"


def module(shop: Shop, deploy: Deploy) -> None:
    """The call that the operator's side has made dies on the server, where the deploy goes on."""
    shop.root(MODULE)
    deploy.end(fails=True)


def engine(shop: Shop, deploy: Deploy) -> None:
    """The deploy itself dies on the server."""
    shop.root(ENGINE)
    said = deploy.end(fails=True)
    assert says("was ended on the server", said), said


def both(shop: Shop, deploy: Deploy) -> None:
    """Everything that belongs to the deploy dies on the server."""
    # Between two steps the operator has nothing there.
    shop.root(f"{ENGINE} && {{ {MODULE} || [ $? = 1 ]; }}")
    deploy.end(fails=True)


Kill = Callable[[Shop, Deploy], None]


def heals(shop: Shop, kill: Kill, step: str) -> None:
    before = shop.settled()
    with shop.nobody_notices() as windows:
        with shop.begun(step) as deploy:
            kill(shop, deploy)
        # Nothing is tidied by hand, and nothing is waited for.
        following = shop.another()
        shop.deploy(following)
    after = shop.settled()
    # What was killed on the operator's side alone may go live in between.
    assert windows[0].versions in ([before.version, following], [before.version, windows[0].versions[1], following])
    assert not windows[0].turned_back(following)
    assert_right(shop, following, after)


@pytest.mark.parametrize(
    ("kill", "step"), [*((kill, step) for kill in (controller, both) for step in STEPS), (module, "built")]
)
def test_the_next_deploy_heals_what_was_killed(shop: Shop, kill: Kill, step: str) -> None:
    heals(shop, kill, step)


@pytest.mark.debian_12
@pytest.mark.parametrize("kill", [controller, engine])
def test_the_next_deploy_heals_what_was_killed_on_debian_12(shop: Shop, kill: Kill) -> None:
    heals(shop, kill, "migrated")


def reboot(shop: Shop) -> None:
    shop.root("systemctl reboot")


def power_cut(shop: Shop) -> None:
    docker("kill", server.container(shop.name))
    server.up(shop.name)


def started_at(shop: Shop) -> str:
    # A container keeps its machine's boot id, so it is asked when its systemd began.
    try:
        return shop.root("systemctl show --property=UserspaceTimestampMonotonic")
    except TestbedError:
        return ""


@pytest.mark.parametrize(
    ("restart", "step"),
    [(power_cut, "started"), (power_cut, "switched"), (reboot, "migrated"), (reboot, "switched")],
)
def test_a_restart_of_the_server_in_the_middle_of_a_deploy(
    shop: Shop, restart: Callable[[Shop], None], step: str
) -> None:
    before, began = shop.settled(), started_at(shop)
    with shop.begun(step) as deploy:
        restart(shop)
        # After the switch there is so little left to do that a server which stops its units in order may be done with it.
        deploy.end(fails=None if step == "switched" else True)
    shop.wait_for(lambda: started_at(shop) not in ("", began))
    shop.wait_for(shop.answers)
    seen = shop.look()
    assert shop.version == seen.version
    assert (seen.current == before.current) == (step != "switched")
    following = shop.another()
    with shop.nobody_notices():
        shop.deploy(following)
    assert_right(shop, following, shop.settled())
