#!/bin/bash
# Two apps with a release each, in the shape that the role's site template expects; and a third's secret.
set -euo pipefail

for app in shop vault; do
    useradd --system --shell /usr/sbin/nologin "$app"
    release=/srv/$app/releases/1
    mkdir -p "$release"/{run,static/css,public/static,public/media,code} /srv/$app/shared/{media,static/css,public}
    chown "$app" "$release/run" /srv/$app/shared/media
    ln -s releases/1 /srv/$app/current
    ln -s ../../static "$release/public/static/static"
    ln -s /srv/$app/shared/media "$release/public/media/media"
    chown -h "$app" "$release/public/media/media"
    ln -s ../static /srv/$app/shared/public/static
done

ln -s /srv/shop/shared/media /srv/shop/current/public/media/uploads

cd /srv/shop/releases/1/static
for name in app.css app.0123456789ab.css app.20240101.css main-0123456789abcdef.js .hidden.css; do
    printf '/* %s %0600d */\n' "$name" 0 >"$name"
done
echo 'export {}' >module.mjs
gzip -k app.0123456789ab.css
# Not brotli, but nginx does not look: what matters is which file it picks.
echo brotli >app.0123456789ab.css.br
mkdir .git && echo secret >.git/config
echo '/* of the release before */' >/srv/shop/shared/static/old.fedcba987654.css

echo private >/srv/vault/shared/media/report.html
echo private >/srv/vault/shared/media/report.txt
cd /srv/shop/shared/media
for name in page.html drawing.SVG photo.png paper.pdf .hidden notes; do echo "$name" >"$name"; done
ln -s photo.png linked.png
ln -s /srv/vault/shared/media/report.txt stolen.txt
ln -s /etc/passwd passwd.txt
chown -h shop:shop -- * .hidden

cat >/etc/systemd/system/upstream@.service <<'UNIT'
[Service]
User=%i
ExecStart=/usr/bin/python3 /usr/local/lib/upstream.py
Environment=LISTEN=/srv/%i/current/run/web.sock
EnvironmentFile=-/etc/upstream-%i
[Install]
WantedBy=multi-user.target
UNIT
echo LISTEN=8001 >/etc/upstream-vault
systemctl enable --now upstream@shop upstream@vault
