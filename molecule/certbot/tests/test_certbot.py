"""Certificates from a real ACME server; each test goes on where the one before it left the server."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from again import converge
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from visitor import Visitor

PROGRAM = "/usr/local/lib/groundcrew/groundcrew-certificates"


def certificate(visitor: Visitor, name: str, verify: bool = True) -> x509.Certificate:
    """What the server shows to somebody who comes for this name; unless told otherwise it has to be trusted."""
    with visitor.connect(f"{name}.{visitor.name}.test", tls=True, verify=verify) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")


def domains(shown: x509.Certificate) -> set[str]:
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(names.value.get_values_for_type(x509.DNSName))


def adjust(host: Any, unit: str, *lines: str) -> None:
    """Change a unit until the next boot."""
    folder = f"/run/systemd/system/{unit}.d"
    text = "\n".join(lines)
    host.check_output(f"mkdir -p {folder} && printf '%s\\n' '{text}' >{folder}/test.conf && systemctl daemon-reload")


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """A server that restarts in between, or a connection that is cut, is no answer yet."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, RuntimeError):
            if condition():
                return
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_certificate_for_all_its_domains(visitor: Visitor) -> None:
    shown = certificate(visitor, "shop")
    assert domains(shown) == {f"shop.{visitor.name}.test", f"www.{visitor.name}.test"}
    assert isinstance(shown.public_key(), rsa.RSAPublicKey)


def test_only_root_reads_the_key(host: Any) -> None:
    key = host.file("/etc/tls/shop/privkey.pem")
    assert host.check_output("stat --dereference --format '%U %a' /etc/tls/shop/privkey.pem") == "root 600"
    assert key.is_symlink


def test_timers_are_on(host: Any) -> None:
    for timer in ("groundcrew-certificates.timer", "certbot.timer"):
        assert host.service(timer).is_enabled
        assert host.service(timer).is_running
    assert "*:00/30:00" in host.check_output("systemctl show --property=TimersCalendar groundcrew-certificates.timer")


def test_a_run_says_what_is_missing_and_changes_nothing(host: Any, visitor: Visitor) -> None:
    said = converge(host)
    assert "changed=0" in said
    assert f"later.{visitor.name}.test: has no address in DNS; create an A record" in said
    assert "pebble: leads to " in said
    assert "no address of this server itself: nobody can connect to port 80 there (connection refused)" in said
    assert "Tried again by itself at the next run of the timer" in said


def test_without_dns_the_site_is_up_with_a_placeholder(host: Any, visitor: Visitor) -> None:
    if not host.exists("nginx"):
        pytest.skip("placeholders are nginx's")
    assert domains(certificate(visitor, "later", verify=False)) == {f"later.{visitor.name}.test"}
    with pytest.raises(ssl.SSLCertVerificationError):
        certificate(visitor, "later")


def test_an_authority_that_refuses_is_no_failure(host: Any, visitor: Visitor) -> None:
    # The name leads here for this server alone, so the authority does not find it.
    host.check_output(f"echo 127.0.0.1 later.{visitor.name}.test >>/etc/hosts")
    try:
        said = converge(host)
        assert "changed=0" in said
        assert "later: FAILED, the site keeps the certificate that it has" in said
        assert "Certificate Authority failed" in said or "Certificate Authority reported" in said
        assert "not before" in said
        # It is not asked again at once, whoever comes.
        before = host.check_output("stat --format %s /var/log/letsencrypt/letsencrypt.log")
        assert "later: not requested yet" in host.check_output(PROGRAM)
        assert host.check_output("stat --format %s /var/log/letsencrypt/letsencrypt.log") == before
    finally:
        # Docker mounts the file: it cannot be replaced.
        host.check_output("grep -v later /etc/hosts >/tmp/hosts; cat /tmp/hosts >/etc/hosts")
        host.check_output("rm /var/lib/groundcrew/tls/later.json")


def test_the_timer_fetches_it_once_the_name_leads_here(
    host: Any, visitor: Visitor, resolve: Callable[..., Path]
) -> None:
    names = [f"{name}.{visitor.name}.test" for name in ("shop", "www", "later")]
    unit = "groundcrew-certificates.timer"
    adjust(host, unit, "[Timer]", "OnCalendar=", "OnCalendar=*:*:0/2", "RandomizedDelaySec=0", "AccuracySec=100ms")
    resolve(*names)
    host.check_output(f"systemctl restart {unit}")
    try:
        until(lambda: "later: obtained" in host.check_output("journalctl --unit groundcrew-certificates --output cat"))
    finally:
        host.check_output(f"rm -r /run/systemd/system/{unit}.d; systemctl daemon-reload; systemctl restart {unit}")
    until(lambda: domains(certificate(visitor, "later")) == {names[2]}, 10)


def exposure(host: Any, unit: str) -> float:
    said = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -1")
    return float(said.split(": ")[1].split()[0])


def test_its_unit_is_in_a_sandbox(host: Any) -> None:
    assert exposure(host, "groundcrew-certificates.service") <= 2.0


def test_certbots_own_unit_is_in_a_light_sandbox_that_leaves_no_trace(host: Any) -> None:
    assert exposure(host, "certbot.service") <= 7.0
    converge(host, certbot_sandbox=False)
    try:
        assert exposure(host, "certbot.service") > 9.0
        assert not host.file("/etc/systemd/system/certbot.service.d/20-groundcrew-sandbox.conf").exists
    finally:
        converge(host)
    assert exposure(host, "certbot.service") <= 7.0


def test_renewal_is_certbots_own_timer_and_goes_live(host: Any, visitor: Visitor) -> None:
    main_process = "systemctl show --property=MainPID nginx.service"
    before, process = certificate(visitor, "shop"), host.check_output(main_process)
    renew = "ExecStart=/usr/bin/certbot --quiet renew --no-random-sleep-on-renew --force-renewal --cert-name shop"
    adjust(host, "certbot.service", "[Service]", "ExecStart=", renew)
    try:
        host.check_output("systemctl start certbot.service")
    finally:
        host.check_output("rm -r /run/systemd/system/certbot.service.d; systemctl daemon-reload")
    until(lambda: certificate(visitor, "shop").serial_number != before.serial_number, 10)
    assert host.check_output(main_process) == process  # reloaded, not restarted
    assert len(host.file("/etc/tls/shop/versions").listdir()) == 2


# As docs/security.md has it; who types it does not wait.
RENEW = (
    "REQUESTS_CA_BUNDLE=/etc/groundcrew/acme-ca.pem certbot renew --force-renewal --cert-name shop"
    " --no-random-sleep-on-renew"
)


def test_a_new_key_is_there_at_once(host: Any, visitor: Visitor) -> None:
    before = certificate(visitor, "shop")
    host.check_output(RENEW)
    until(lambda: certificate(visitor, "shop").public_key() != before.public_key(), 10)


def test_what_certbot_renewed_behind_our_back_is_installed_too(host: Any, visitor: Visitor) -> None:
    before = certificate(visitor, "shop")
    host.check_output(f"{RENEW} --no-directory-hooks")
    assert certificate(visitor, "shop").serial_number == before.serial_number
    assert "shop: renewed and in place" in host.check_output(f"{PROGRAM} || true")
    until(lambda: certificate(visitor, "shop").serial_number != before.serial_number, 10)


def test_after_a_restart_of_the_server_everything_is_back(host: Any, visitor: Visitor) -> None:
    before = certificate(visitor, "shop")
    # The server is a container: /run is what a boot makes anew.
    host.check_output("touch /run/before-the-boot")
    # Left to itself a timer may be a minute late.
    host.check_output("systemd-run --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot")
    until(lambda: host.run("test ! -e /run/before-the-boot && systemctl is-system-running --wait").rc == 0)
    until(lambda: certificate(visitor, "shop").serial_number == before.serial_number)
    test_timers_are_on(host)


def test_an_authority_that_is_down_is_no_failure(host: Any, visitor: Visitor) -> None:
    before = certificate(visitor, "shop")
    said = converge(host, certbot_directory_url="https://pebble:1/dir")
    assert "shop: FAILED, the site keeps the certificate that it has" in said
    assert "Connection refused" in said
    assert certificate(visitor, "shop").serial_number == before.serial_number


def test_fewer_domains_and_fewer_certificates(host: Any, visitor: Visitor) -> None:
    assert "later" in host.check_output("ls /etc/letsencrypt/renewal")
    wish = {"name": "shop", "domains": [f"shop.{visitor.name}.test"], "directory": "/etc/tls/shop"}
    converge(host, certbot_certificates=[wish])
    until(lambda: domains(certificate(visitor, "shop")) == {f"shop.{visitor.name}.test"}, 10)
    # No longer renewed, for ever failing; what a site may still read is there.
    assert host.check_output("ls /etc/letsencrypt/renewal") == "shop.conf"
    assert host.file("/etc/tls/later/fullchain.pem").exists
    assert "changed=0" in converge(host, certbot_certificates=[wish])


def test_a_missing_address_is_named_before_anything_happens(host: Any) -> None:
    assert "certbot_email is empty. Set it to" in converge(host, check=False, certbot_email="")
