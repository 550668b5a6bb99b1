"""What may happen to a server during a deploy."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from shop import Shop
from testbed import server


@contextmanager
def repository_gone(shop: Shop) -> Iterator[None]:
    shop.root("systemctl stop repositories")
    try:
        yield
    finally:
        shop.root("systemctl start repositories")


# Beside the live release stands one with the same processes and none of its files.
FLUTTER = """
import os, shutil, sys
os.chdir("/srv/shop")
live, bare = os.readlink("current"), "releases/bare"
os.makedirs(f"{bare}/public/static")
os.symlink(f"/srv/shop/{live}/run", f"{bare}/run")
print("begun", flush=True)
while not os.path.exists("/run/flutter.end"):
    for target in (bare, live):
        os.symlink(target, "current.new")
        os.replace("current.new", "current")
shutil.rmtree(bare)
os.unlink("/run/flutter.end")
"""


@contextmanager
def current_fluttering(shop: Shop) -> Iterator[None]:
    """The switch happens thousands of times a second, so that every moment of a request meets one."""
    argv = ["docker", "exec", "--interactive", server.container(shop.name), "python3", "-c", FLUTTER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as flutter:
        assert flutter.stdout and flutter.stdout.readline() == "begun\n"
        try:
            yield
        finally:
            shop.root("touch /run/flutter.end")
            assert flutter.wait() == 0


@contextmanager
def disk_of_the_releases_full(shop: Shop) -> Iterator[None]:
    """Room for the code and no dependencies. The releases that are there stay reachable, with their sockets."""
    # Built elsewhere and put in its place at once, so that no visitor finds it half ready.
    shop.root("""
        mkdir /mnt/full
        mount -t tmpfs -o size=5m,mode=755 tmpfs /mnt/full
        for release in $(ls /srv/shop/releases); do
            mkdir /mnt/full/$release
            mount --bind /srv/shop/releases/$release /mnt/full/$release
        done
        mount --rbind /mnt/full /srv/shop/releases
        """)
    try:
        yield
    finally:
        shop.root("umount --lazy /srv/shop/releases && umount --lazy --recursive /mnt/full && rmdir /mnt/full")


@contextmanager
def disk_of_the_database_full(shop: Shop) -> Iterator[None]:
    """Room for what there is, and hardly any for new tables."""
    # The server has mounts of its own, and a container hands it none of those that come later.
    inside = "nsenter --mount --target=$(systemctl show --value --property=MainPID 'postgresql@*-main.service')"
    shop.root(
        f"mkdir /mnt/small && {inside} mount -t tmpfs -o size=4m,mode=700,uid=postgres,gid=postgres tmpfs /mnt/small"
    )
    shop.psql("CREATE TABLESPACE small LOCATION '/mnt/small'")
    shop.psql("GRANT CREATE ON TABLESPACE small TO shop; ALTER DATABASE shop SET default_tablespace = small")
    try:
        yield
    finally:
        shop.psql("ALTER DATABASE shop RESET default_tablespace")
        shop.psql("DROP TABLESPACE small")
        shop.root(f"{inside} umount /mnt/small && rmdir /mnt/small")


@contextmanager
def table_in_use(shop: Shop) -> Iterator[None]:
    """Somebody reads the table in a transaction that does not end."""
    query = "BEGIN; SELECT count(*) FROM shop_item; SELECT pg_sleep(600)"
    options = "--unit=report --uid=postgres --setenv=PGAPPNAME='a report' --working-directory=/"
    shop.root(f"systemd-run --quiet --collect {options} psql --dbname=shop --command='{query}'")
    shop.wait_for(lambda: shop.psql("SELECT 1 FROM pg_locks WHERE relation = 'shop_item'::regclass"))
    try:
        yield
    finally:
        shop.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'a report'")
