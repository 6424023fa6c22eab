"""What an account needs on an SFTP server."""

import posixpath

from dataset_export.destinations.policy import Operation, Policy

LIST = ("list and search the folder",)
WRITE = ("create and write files in the folder", "make folders in it")
NAME = ("link or rename files within the folder",)
READ = ("read files of the folder",)
DELETE = ("delete files of the folder", "remove empty folders of it")


def sftp_policy(username: str, folder: str) -> Policy:
    """Configuration of an OpenSSH server that lets the account `username` do file transfer only, locked into a folder
    that belongs to root, with `folder` in it."""
    inner = folder.strip("/") or "upload"
    chroot = f"/srv/sftp/{username}"
    permissions = {
        Operation.CHECK: LIST,
        Operation.STAGE: (*LIST, *WRITE, *DELETE[:1]),
        Operation.CONFIRM: (*LIST, *READ),
        Operation.PUBLISH: (*NAME, *WRITE[1:], *READ, *DELETE),
        Operation.LIST: LIST,
        Operation.READ: READ,
        Operation.PUT: (*WRITE, *NAME, *READ, *DELETE),
        Operation.REPLACE: (*WRITE, "posix-rename@openssh.com", *DELETE),
        Operation.DELETE: DELETE,
        Operation.LEFTOVERS: LIST,
        Operation.DISCARD: DELETE,
    }
    document = f"""\
# /etc/ssh/sshd_config.d/{username}.conf
Match User {username}
    ChrootDirectory {chroot}
    ForceCommand internal-sftp
    AllowTcpForwarding no
    X11Forwarding no
    PermitTTY no

# Folders, as root: sshd wants every one on the way to the chroot to be root's and writable by nobody else.
#   install -d -m 0755 -o root -g root {chroot}
#   install -d -m 0750 -o {username} -g {username} {posixpath.join(chroot, inner)}
"""
    return Policy(
        permissions,
        document,
        (
            f"In the chroot the folder of the destination is {'/' + inner!r}.",
            "Readers need read permission only, and no access to the hidden folder .dataset_export.",
            "The server's fingerprint for host_key_fingerprint is what `ssh-keygen -l -f "
            "/etc/ssh/ssh_host_ed25519_key.pub` prints there.",
        ),
    )
