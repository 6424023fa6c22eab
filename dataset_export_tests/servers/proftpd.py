"""proftpd's mod_sftp on loopback: another dialect of SFTP. See `install.sh` for the packages."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from dataset_export_tests.servers.openssh import wait_until_listening
from dataset_export_tests.servers.weed import free_ports

USERNAME = "partner"
PASSWORD = f"p{secrets.token_urlsafe(16)}"
"""It does not begin with a hyphen, which openssl would take for an option."""
NOBODY = 65534


@dataclass(frozen=True)
class ProFTPD:
    """A running server. `folder` is the home of its one user."""

    port: int
    folder: Path
    fingerprint: str


@contextmanager
def running_proftpd() -> Iterator[ProFTPD]:
    """Start the server, wait until it listens, and stop it by its pid."""
    proftpd = shutil.which("proftpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if proftpd is None:
        raise RuntimeError("proftpd is not installed: run `make servers`, or install proftpd-core, proftpd-mod-crypto")
    base = Path(tempfile.mkdtemp(prefix="proftpd-"))
    base.chmod(0o755)
    home = base / "home"
    home.mkdir()
    # Root may not log in; then the server's user is nobody.
    uid, gid = (NOBODY, NOBODY) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(home, uid, gid)
    [port] = free_ports(1)
    key = asyncssh.generate_private_key("ssh-rsa")
    key.write_private_key(base / "host_key", "pkcs1-pem")
    (base / "host_key").chmod(0o600)
    password = subprocess.run(
        ["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    (base / "passwd").write_text(f"{USERNAME}:{password}:{uid}:{gid}::{home}:/bin/sh\n")
    (base / "passwd").chmod(0o600)
    (base / "proftpd.conf").write_text(f"""\
LoadModule mod_sftp.c
ServerType standalone
ServerName test
DefaultAddress 127.0.0.1
SocketBindTight on
Port {port}
UseIPv6 off
WtmpLog off
{"User nobody" if os.geteuid() == 0 else ""}
{"Group nogroup" if os.geteuid() == 0 else ""}
PidFile {base}/pid
ScoreboardFile {base}/scoreboard
DelayEngine off
SystemLog {base}/log
AuthOrder mod_auth_file.c
AuthUserFile {base}/passwd
RequireValidShell off
AllowOverwrite on
SFTPEngine on
SFTPLog {base}/sftp.log
SFTPHostKey {base}/host_key
SFTPAuthMethods password
""")
    with (base / "output").open("wb") as output:
        process = subprocess.Popen([proftpd, "-n", "-c", str(base / "proftpd.conf")], stdout=output, stderr=output)
    try:
        wait_until_listening(port, process, base / "output")
        yield ProFTPD(port, home, key.get_fingerprint())
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(base, ignore_errors=True)
