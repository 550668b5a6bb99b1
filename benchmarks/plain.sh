#!/bin/bash
# A deploy as a script over one SSH connection does it: bash -s VERSION < plain.sh
# It goes through the same work as the playbook: fetch, install, collect static, migrate, start, switch. It checks nothing.
set -euo pipefail
root=/srv/plain
release=$root/releases/$(date +%Y%m%d-%H%M%S-%N)
uv=$(echo /opt/groundcrew/uv-*/bin/uv)
UV_DEFAULT_INDEX=$(python3 -m pip config get global.index-url 2>/dev/null || echo https://pypi.org/simple)
export UV_CACHE_DIR=$root/cache UV_SYSTEM_CERTS=true UV_DEFAULT_INDEX
export SECRET_KEY=plain ALLOWED_HOSTS=localhost PGDATABASE=shop PGHOST=/var/run/postgresql STATIC_ROOT=$release/static

mkdir -p "$release/code"
[ -d $root/source.git ] || git clone --quiet --mirror git://127.0.0.1/shop.git $root/source.git
git -C $root/source.git fetch --quiet --prune
git -C $root/source.git archive "$1" | tar -x -C "$release/code"
cd "$release/code"
"$uv" venv --quiet --python /usr/bin/python3 "$release/venv"
"$uv" pip install --quiet --python "$release/venv" --requirements requirements.txt gunicorn
"$release/venv/bin/python" manage.py collectstatic --noinput --verbosity=0
runuser -u shop --preserve-environment -- "$release/venv/bin/python" manage.py migrate --noinput --verbosity=0
chown shop "$release"
systemd-run --quiet --collect --unit="plain-${release##*/}" --uid=shop --working-directory="$release/code" \
    --setenv=SECRET_KEY --setenv=ALLOWED_HOSTS --setenv=PGDATABASE --setenv=PGHOST --setenv=STATIC_ROOT \
    "$release/venv/bin/python" -m gunicorn --bind="unix:$release/web.sock" --workers=2 --threads=8 --no-control-socket \
    shop.wsgi
python3 - "$release/web.sock" << 'END'
import socket, sys, time
for attempt in range(300):
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(sys.argv[1])
            connection.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            if b" 200 " in connection.recv(100):
                break
    except OSError:
        pass
    time.sleep(0.05)
else:
    sys.exit("the app does not answer")
END
old=$(readlink $root/current || true)
ln -s "$release" $root/current.new
mv -T $root/current.new $root/current
if [ "$old" ]; then systemctl stop "plain-${old##*/}"; fi
