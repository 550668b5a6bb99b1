"""What users of the instances can do and cannot do, seen through redis-cli and the libraries of Django projects."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
from again import converge

SHOP = "/etc/groundcrew/shop/secrets/redis_password"
PORTS = {"cache": 6379, "queue": 6380}
MEGABYTE = 1024 * 1024


def ask(
    host: Any, *command: str, user: str = "shop", instance: str = "cache", database: int = 5, socket: bool = False
) -> str:
    """The answer to one command, or the error that stands in its place."""
    where = ["-s", f"/run/redis-{instance}/redis.sock"] if socket else ["-h", "127.0.0.1", "-p", str(PORTS[instance])]
    argv = shlex.join(["redis-cli", "--user", user, *where, "-n", str(database), *command])
    secret = f"/etc/groundcrew/{user}/secrets/redis_password"
    # An answer of several lines is one; of a text that is in the way (a failed SELECT) only the last line counts.
    return host.run(f'REDISCLI_AUTH="$(cat {secret})" {argv} 2>&1').stdout.strip()


def run_python(host: Any, code: str) -> str:
    """Run Python with the libraries of Debian on the server; they are part of the test, not of the role."""
    packages = "python3-redis python3-kombu python3-channels-redis python3-rq"
    host.check_output(f"dpkg -s {packages} >/dev/null 2>&1 || apt-get install -qq --no-install-recommends {packages}")
    prelude = f"shop = open({SHOP!r}).read()\nurl = f'redis://shop:{{shop}}@127.0.0.1:%s/5'\n"
    return host.check_output("python3 -W error::UserWarning -c %s", prelude + code).strip()


def test_only_loopback_listens(host: Any) -> None:
    listening = [line.split()[3] for line in host.check_output("ss -Hltnp").splitlines() if "redis" in line]
    assert sorted(listening) == ["127.0.0.1:6379", "127.0.0.1:6380"]


def test_the_instance_of_the_package_is_off(host: Any) -> None:
    service = host.service("redis-server.service")
    assert not service.is_running and not service.is_enabled
    for name in ("cache", "queue", "sessions"):
        service = host.service(f"redis-server@{name}.service")
        assert service.is_running and service.is_enabled


@pytest.mark.parametrize("name", ["cache", "queue", "sessions"])
def test_every_instance_is_in_a_sandbox(host: Any, name: str) -> None:
    unit = f"redis-server@{name}.service"
    said = host.check_output(f"systemd-analyze security --no-pager {unit}").splitlines()[-1]
    assert float(re.findall(r"service: ([0-9.]+)", said)[0]) <= 4.0
    # The files as the server sees them; no other program could be run in there.
    seen = f"/proc/{host.check_output(f'systemctl show -P MainPID {unit}')}/root"
    # Not even what belongs to the same user: the settings, and another instance's data.
    for path in ("/etc/redis", f"/var/lib/redis/{'queue' if name == 'cache' else 'cache'}"):
        assert "Read-only file system" in host.run(f"touch {seen}{path}/made-by-redis").stderr
    host.check_output(f"touch {seen}/var/lib/redis/{name}/made && rm /var/lib/redis/{name}/made")


@pytest.mark.parametrize("socket", [False, True], ids=["tcp", "socket"])
def test_a_user_stores_and_fetches(host: Any, socket: bool) -> None:
    assert ask(host, "SET", "greeting", "hello", socket=socket) == "OK"
    assert ask(host, "GET", "greeting", socket=not socket) == "hello"


@pytest.mark.parametrize(
    "where", ["-p 6379", "-p 6380", "-s /run/redis-cache/redis.sock", "-s /run/redis-sessions/redis.sock"]
)
def test_nobody_gets_in_without_a_password(host: Any, where: str) -> None:
    assert "NOAUTH" in host.run(f"redis-cli {where} PING").stdout
    assert "NOAUTH" in host.run(f"REDISCLI_AUTH=guess redis-cli {where} PING").stdout
    assert "WRONGPASS" in host.run(f"REDISCLI_AUTH=guess redis-cli {where} --user shop PING 2>&1").stdout
    assert "WRONGPASS" in host.run(f"REDISCLI_AUTH=guess redis-cli {where} --user root PING 2>&1").stdout


def test_other_system_users_cannot_read_what_opens_the_door(host: Any) -> None:
    for path in (SHOP, "/etc/redis/redis-cache.acl", "/etc/groundcrew/redis/admin_password"):
        assert host.file(path).exists
        assert host.run(f"runuser -u nobody -- cat {path}").failed
        assert host.run("runuser -u nobody -- /usr/local/sbin/redis-admin cache PING").failed


def test_root_needs_no_secret(host: Any) -> None:
    assert host.check_output("redis-admin cache PING") == "PONG"
    assert "maxmemory_human:32.00M" in host.check_output("redis-admin sessions INFO memory")
    assert host.run("redis-admin cache NONSENSE").failed


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "CONFIG GET *",
        "CONFIG SET maxmemory 0",
        "ACL LIST",
        "ACL SETUSER shop on nopass",
        "SHUTDOWN",
        "MONITOR",
        "MODULE LIST",
        "REPLICAOF 192.0.2.1 6379",
        "SAVE",
        "CLIENT KILL TYPE normal",
        "SLOWLOG GET",
        "FUNCTION FLUSH",
        "SCRIPT FLUSH",
        "SWAPDB 5 6",
        "MOVE greeting 6",
        "COPY greeting greeting DB 6",
        "SELECT 6",
        "MIGRATE 192.0.2.1 6379 greeting 6 100",
    ],
)
def test_what_a_user_may_not_do(host: Any, command: str) -> None:
    assert "NOPERM" in ask(host, *command.split())


def test_databases_are_fenced(host: Any) -> None:
    ask(host, "SET", "mine", "1")
    assert "NOPERM" in ask(host, "GET", "mine", user="my-blog", database=5)
    assert ask(host, "EVAL", "return redis.pcall('select', 6).err ~= nil", "0") == "1"
    assert ask(host, "SET", "theirs", "2", user="my-blog", database=6) == "OK"
    assert ask(host, "SET", "theirs", "2", user="my-blog", database=7) == "OK"
    # Where no databases are listed, all are open, and where more rules are, they hold.
    assert ask(host, "SET", "anywhere", "3", instance="sessions", socket=True, database=900) == "OK"
    assert "volatile-ttl" in ask(host, "CONFIG", "GET", "maxmemory-policy", instance="sessions", socket=True)


def test_a_user_of_one_instance_is_none_of_another(host: Any) -> None:
    assert "WRONGPASS" in ask(host, "PING", user="my-blog", instance="queue", database=0)


def test_what_caches_use(host: Any) -> None:
    """All that Django's cache and the packages for it do; cache.clear() empties this database and no other."""
    ask(host, "SET", "kept", "yes", user="my-blog", database=6)
    answer = run_python(
        host,
        """
import redis
client = redis.Redis.from_url(url % 6379, client_name='django')
client.flushdb()
client.set('a', 1, ex=60); client.incr('a'); client.expire('a', 90); client.touch('a')
pipe = client.pipeline(); pipe.mset({'b': 1, 'c': 2}); pipe.execute()
with client.lock('lock', timeout=5):
    pass
print([client.get('a'), sorted(client.keys('*')), list(client.scan_iter('b*')), client.dbsize()], client.info()['redis_version'] != '')
client.flushdb()
print(client.dbsize())
""",
    )
    assert answer.splitlines() == ["[b'2', [b'a', b'b', b'c'], [b'b'], 3] True", "0"]
    assert ask(host, "GET", "kept", user="my-blog", database=6) == "yes"


def test_a_queue_of_celery_and_of_rq(host: Any) -> None:
    """kombu carries Celery's messages; a worker of rq asks the server for its clients."""
    answer = run_python(
        host,
        """
from kombu import Connection
with Connection(url % 6380) as connection:
    queue = connection.SimpleQueue('mail')
    queue.put({'to': 'you'})
    message = queue.get(timeout=5); message.ack()
    print(message.payload)
import warnings; warnings.simplefilter('ignore')
import redis, rq, operator
client = redis.Redis.from_url(url % 6380)
job = rq.Queue('default', connection=client).enqueue(operator.add, 2, 3)
rq.SimpleWorker(['default'], connection=client).work(burst=True)
print(rq.job.Job.fetch(job.id, connection=client).result)
""",
    )
    assert answer.splitlines()[0] == "{'to': 'you'}"
    assert answer.splitlines()[-1] == "5"


@pytest.mark.parametrize("layer", ["core.RedisChannelLayer", "pubsub.RedisPubSubChannelLayer"])
def test_the_channel_layers(host: Any, layer: str) -> None:
    module, name = layer.split(".")
    answer = run_python(
        host,
        f"""
import asyncio, importlib
layer = importlib.import_module('channels_redis.{module}').{name}(hosts=[url % 6380])
async def chat():
    channel = await layer.new_channel()
    await layer.group_add('room', channel)
    await layer.group_send('room', {{'type': 'greet', 'text': 'hello'}})
    print((await asyncio.wait_for(layer.receive(channel), 5))['text'])
    await layer.group_discard('room', channel)
asyncio.run(chat())
""",
    )
    assert answer == "hello"


def fill(host: Any, port: int, database: int, megabytes: int) -> dict[str, Any]:
    """Write values of a megabyte until all are written or one is refused."""
    return json.loads(
        run_python(
            host,
            f"""
import json, redis
client = redis.Redis.from_url(f'redis://shop:{{shop}}@127.0.0.1:{port}/{database}')
written, refused = 0, ''
try:
    for written in range({megabytes}):
        client.set(f'block:{{written}}', b'x' * {MEGABYTE})
except redis.RedisError as error:
    refused = str(error)
info = client.info()
print(json.dumps(dict(written=written, refused=refused, evicted=info['evicted_keys'], blocks=client.dbsize())))
for key in client.scan_iter('block:*'):
    client.unlink(key)
""",
        )
    )


def test_a_full_cache_forgets_and_a_full_queue_refuses(host: Any) -> None:
    cache = fill(host, PORTS["cache"], 5, 60)
    assert not cache["refused"] and cache["evicted"] > 20 and cache["blocks"] < 30
    queue = fill(host, PORTS["queue"], 5, 60)
    assert "maxmemory" in queue["refused"] and queue["evicted"] == 0 and 5 < queue["written"] < 30


def test_the_queue_survives_a_restart_and_the_cache_does_not(host: Any) -> None:
    ask(host, "SET", "job", "important", instance="queue")
    ask(host, "SET", "page", "rendered", instance="cache")
    host.check_output("sleep 1.5")  # appendfsync everysec; a kill leaves no time for a farewell
    host.check_output("systemctl kill --signal=KILL redis-server@queue redis-server@cache")
    host.check_output(
        "for n in 1 2 3 4 5 6 7 8 9; do redis-admin queue PING && redis-admin cache PING && break; sleep 0.5; done"
    )
    assert ask(host, "GET", "job", instance="queue") == "important"
    assert ask(host, "GET", "page", instance="cache") == ""


def test_an_instance_writes_only_its_own_files(host: Any) -> None:
    """Neither its configuration nor the data of another instance, whatever a hole in Redis lets somebody do."""
    pid = host.check_output("systemctl show -P MainPID redis-server@cache")
    inside = f"nsenter --mount --target {pid} --setuid $(id -u redis) --setgid $(id -g redis) --"
    for path in ("/etc/redis/x", "/var/lib/redis/queue/x", "/var/lib/redis/x"):
        assert host.run(f"{inside} sh -c ': > {path}'").failed, path


def test_a_change_of_users_cuts_no_connection(host: Any) -> None:
    """A new user, a new password and a user who goes, while others are connected; nothing of it in Ansible's words."""
    pid = host.check_output("systemctl show -P MainPID redis-server@cache")
    # Says its id every second, on one connection.
    command = "(while sleep 0.5; do echo CLIENT ID; done) | redis-cli --user shop -p 6379 > /run/ids"
    host.check_output(
        f"systemd-run --quiet --unit=witness sh -c 'REDISCLI_AUTH=\"$(cat {SHOP})\"; export REDISCLI_AUTH; {command}'"
    )
    try:
        generated = host.check_output(f"cat {SHOP}")
        said = converge(host, "-vvv", "--diff", blog_password="chosen-anew-0123456789")
        assert "changed=2" in said
        for secret in ("not-generated-but-chosen", "chosen-anew-0123456789", generated):
            assert secret not in said
        assert ask(host, "PING", user="my-blog", database=6) == "PONG"
        assert (
            "WRONGPASS"
            in host.run("REDISCLI_AUTH=not-generated-but-chosen redis-cli --user my-blog -p 6379 PING 2>&1").stdout
        )
        host.check_output("sleep 1")
        ids = host.check_output("cat /run/ids").split()
        assert len(ids) > 5 and len(set(ids)) == 1
    finally:
        host.run("systemctl stop witness")
    assert host.check_output("systemctl show -P MainPID redis-server@cache") == pid


def test_lost_secrets_are_replaced(host: Any) -> None:
    """As when somebody moves the data to another server and the secrets stay behind; or wants a new administrator's."""
    as_root = "REDISCLI_AUTH=%s redis-cli -p 6379 --user root PING 2>&1"
    former = host.check_output("cat /etc/groundcrew/redis/admin_password")
    assert host.check_output(as_root, former) == "PONG"
    host.check_output("rm -r /etc/groundcrew")
    converge(host)
    assert host.check_output("redis-admin cache PING") == "PONG"
    assert "PONG" not in host.run(as_root, former).stdout
    assert ask(host, "PING") == "PONG"


def test_what_redis_does_not_take_is_taken_back(host: Any) -> None:
    said = converge(host, check=False, redis_settings={"nonsense": True})
    assert "nonsense yes" in said and "The old files are back" in said
    said = converge(host, check=False, redis_user_rules=["~*", "+nonsense"])
    assert "Unknown command or category" in said and "The old files are back" in said
    assert ask(host, "PING") == "PONG"


def test_an_instance_that_is_no_longer_listed_is_stopped_and_keeps_its_data(host: Any) -> None:
    ask(host, "SET", "job", "waiting", instance="queue")
    host.check_output("sleep 1.5")
    users = [{"name": "shop", "password_file": SHOP, "databases": [5]}]
    converge(host, redis_instances=[{"name": "cache", "port": 6379, "users": users}])
    assert not host.service("redis-server@queue.service").is_running
    assert not host.service("redis-server@queue.service").is_enabled
    assert not host.file("/etc/redis/redis-queue.conf").exists
    assert "WRONGPASS" in ask(host, "PING", user="my-blog", database=6)
    converge(host)
    assert ask(host, "GET", "job", instance="queue") == "waiting"
    assert ask(host, "PING", user="my-blog", database=6) == "PONG"
