# Copyright (c) groundcrew.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request headers by which nginx tells an app about its visitor, and those that no visitor may send. Pure.

An app believes such headers because nginx is the only one who connects to it. So each header that some framework, app
server or library believes is either set here or taken away: one that passes through is a forged address or scheme.
"""

from __future__ import annotations

# Each names the visitor's scheme in somebody's dialect. nginx proxies from its TLS servers only, so the values are
# fixed. gunicorn answers 400 when the three that it knows contradict each other; its X-Forwarded-Protocol is "ssl".
SCHEME_HEADERS: dict[str, str] = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Protocol": "ssl",
    "X-Forwarded-Scheme": "https",
    "X-Forwarded-Ssl": "on",
    "X-Scheme": "https",
    "X-Url-Scheme": "https",
    "Front-End-Https": "on",
    "CloudFront-Forwarded-Proto": "https",
}

# Values are nginx's; $groundcrew_... are maps of the role's nginx.conf. X-Forwarded-For is the one address that nginx
# saw, never a list that a visitor began.
VISITOR_HEADERS: dict[str, str] = {
    "Host": "$host$groundcrew_port",
    "X-Forwarded-Host": "$host$groundcrew_port",
    "X-Forwarded-Port": "$groundcrew_public_port",
    "X-Forwarded-For": "$remote_addr",
    "X-Real-IP": "$remote_addr",
    # The name of this one request, which stands in the access log too. A visitor's own could be a name that is taken.
    "X-Request-ID": "$request_id",
}

CLEARED: tuple[str, ...] = (
    # the visitor's address in other dialects
    "Forwarded",
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "CF-Pseudo-IPv4",
    "CloudFront-Viewer-Address",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "True-Client-IP",
    "X-Appengine-User-IP",
    "X-Azure-ClientIP",
    "X-Azure-SocketIP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Envoy-External-Address",
    "X-Forwarded",
    "X-Forwarded-By",
    "X-Original-Forwarded-For",
    "X-ProxyUser-IP",
    "X-Remote-Addr",
    "X-Remote-IP",
    # the scheme, in a form that has no fixed value
    "CF-Visitor",
    "X-Forwarded-Https",
    # host, path and method of the request
    "X-Forwarded-Path",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Host",
    "X-Original-Host",
    "X-Original-URI",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Script-Name",
    # who a proxy that checks identities says the visitor is; nothing in front of the app does
    "Remote-User",
    "Remote-Groups",
    "Remote-Email",
    "Remote-Name",
    "X-Remote-User",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Client-Cert",
    "X-Client-Cert",
    "X-SSL-Client-Cert",
    "X-SSL-Client-DN",
    "X-SSL-Client-S-DN",
    "X-SSL-Client-Verify",
    "SSL-Client-Cert",
    # what becomes HTTP_PROXY of a child process, and the commands of a file-serving proxy
    "Proxy",
    "X-Accel-Buffering",
    "X-Accel-Charset",
    "X-Accel-Expires",
    "X-Accel-Limit-Rate",
    "X-Accel-Mapping",
    "X-Accel-Redirect",
    "X-Sendfile",
    "X-Sendfile-Type",
)


def forwarding_headers() -> dict[str, str]:
    """Header -> value in nginx's words; an empty value takes the header away."""
    return {**VISITOR_HEADERS, **SCHEME_HEADERS, **dict.fromkeys(CLEARED, "")}
