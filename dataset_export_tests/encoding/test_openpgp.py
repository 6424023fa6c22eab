"""Encryption with OpenPGP: GnuPG reads what we encrypt, and a key that cannot encrypt is refused."""

import filecmp
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_export.encoding.openpgp import encrypt, encrypted
from dataset_export.encoding.openpgp_keys import Recipients, read_recipients
from dataset_export.errors import ConfigError, TransientError
from dataset_export_tests.servers.gnupg import LONG_AGO, GnuPG, running_gnupg

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def alice(gnupg: GnuPG) -> str:
    return gnupg.make_key("Alice <alice@example.com>")


@pytest.fixture(scope="module")
def recipients(gnupg: GnuPG, alice: str) -> Recipients:
    return read_recipients([gnupg.public_key(alice)], now=NOW)


def message_of(recipients: Recipients, pieces: list[bytes]) -> bytes:
    message = bytearray()
    with encrypted(recipients, message.extend) as sink:
        for piece in pieces:
            sink(piece)
    return bytes(message)


@given(st.lists(st.binary(max_size=300_000), max_size=8))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gnupg_reads_what_was_written_in_any_pieces(gnupg: GnuPG, recipients: Recipients, pieces: list[bytes]) -> None:
    message = message_of(recipients, pieces)
    assert len(message) > 100  # an empty file too: there is no message without a byte
    assert gnupg.decrypt(message) == b"".join(pieces)


def test_the_plain_bytes_are_not_in_the_message(recipients: Recipients) -> None:
    message = message_of(recipients, [b"a row of the dataset\n" * 1000])
    assert b"a row of the dataset" not in message


def test_each_of_several_recipients_reads_it_with_its_own_key(gnupg: GnuPG, alice: str) -> None:
    with running_gnupg() as elsewhere:
        bob = elsewhere.make_key("Bob <bob@example.com>")
        both = read_recipients([gnupg.public_key(alice), elsewhere.public_key(bob, armor=False)], now=NOW)
        assert both.fingerprints == (alice, bob)
        message = message_of(both, [b"for two"])
        assert gnupg.decrypt(message) == b"for two"
        assert elsewhere.decrypt(message) == b"for two"


def test_nobody_else_reads_it(gnupg: GnuPG, recipients: Recipients) -> None:
    message = message_of(recipients, [b"for one"])
    with running_gnupg() as elsewhere:
        elsewhere.make_key("Eve <eve@example.com>")
        with pytest.raises(subprocess.CalledProcessError) as error:
            elsewhere.decrypt(message)
    assert b"No secret key" in error.value.stderr


def test_a_small_one_in_memory(gnupg: GnuPG, recipients: Recipients) -> None:
    assert gnupg.decrypt(encrypt(recipients, b"{}\n")) == b"{}\n"


def test_a_message_that_was_cut_or_changed_is_not_read(gnupg: GnuPG, recipients: Recipients) -> None:
    message = message_of(recipients, [os.urandom(100_000)])
    changed = bytearray(message)
    changed[50_000] ^= 1
    for wrong in (message[:-1], message[:50_000], bytes(changed)):
        with pytest.raises(subprocess.CalledProcessError):
            gnupg.decrypt(wrong)


LARGE = """
import re, sys
from pathlib import Path
import psutil
from dataset_export.encoding.openpgp import encrypted
from dataset_export.encoding.openpgp_keys import Recipients
recipients = Recipients((Path(sys.argv[1]).read_bytes(),), ("?",))
def peak(pid):
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) << 10
before = peak("self")
with Path(sys.argv[2]).open("rb") as plain, Path(sys.argv[3]).open("wb") as message:
    with encrypted(recipients, message.write) as sink:
        while piece := plain.read(1 << 20):
            sink(piece)
        [child] = psutil.Process().children()
        print(peak(child.pid))
print(peak("self") - before)
"""


def test_memory_stays_flat_for_a_large_file(gnupg: GnuPG, recipients: Recipients, tmp_path: Path) -> None:
    key, plain, message, again = (tmp_path / name for name in ("key", "large", "large.gpg", "again"))
    key.write_bytes(recipients.keys[0])
    with plain.open("wb") as stream:
        for _ in range(256):
            stream.write(os.urandom(1 << 20))
    # In a process of its own: what it needed at most is not hidden by what others needed before.
    done = subprocess.run(
        [sys.executable, "-c", LARGE, key, plain, message], capture_output=True, check=True, text=True
    )
    for grown in map(int, done.stdout.split()):
        assert 0 < grown < 64 << 20, f"{grown >> 20} MiB"
    gnupg.decrypt_file(message, again)
    assert filecmp.cmp(plain, again, shallow=False)


def test_other_threads_go_on_while_a_file_is_encrypted(recipients: Recipients) -> None:
    """The library keeps the interpreter's lock while it encrypts: in this process nothing else would happen."""
    piece, turns, done = os.urandom(1 << 20), 0, threading.Event()

    def count() -> None:
        nonlocal turns
        while not done.wait(0.001):
            turns += 1

    counting = threading.Thread(target=count)
    counting.start()
    message_of(recipients, [piece] * 64)
    done.set()
    counting.join()
    assert turns > 10


def children() -> list[int]:
    """Processes of ours that encrypt."""
    return [one.pid for one in psutil.Process().children() if any("openpgp_child" in part for part in one.cmdline())]


class Died(Exception):
    pass


def test_an_error_of_the_encoder_leaves_no_process(recipients: Recipients) -> None:
    def encode() -> None:
        with encrypted(recipients, lambda _: None) as sink:
            sink(b"half")
            assert len(children()) == 1
            raise Died

    with pytest.raises(Died):
        encode()
    assert children() == []


def test_an_error_of_the_destination_comes_through_and_leaves_no_process(recipients: Recipients) -> None:
    def broken(_: object) -> None:
        raise Died

    def encode() -> None:
        with encrypted(recipients, broken) as sink:
            for _ in range(64):
                sink(bytes(1 << 20))

    with pytest.raises(Died):
        encode()
    assert children() == []


@pytest.mark.parametrize("size", [10, 64 << 20])
def test_a_process_that_is_killed_is_a_transient_error_never_a_short_file(recipients: Recipients, size: int) -> None:
    def encode() -> None:
        with encrypted(recipients, lambda _: None) as sink:
            sink(b"begin")
            [child] = children()
            os.kill(child, signal.SIGKILL)
            sink(bytes(size))

    with pytest.raises(TransientError, match="ended by signal 9"):
        encode()
    assert children() == []


ENDLESS = """
import sys
from pathlib import Path
from dataset_export.encoding.openpgp import encrypted
from dataset_export.encoding.openpgp_keys import Recipients
recipients = Recipients((Path(sys.argv[1]).read_bytes(),), ("?",))
with encrypted(recipients, lambda data: print(len(data), flush=True)) as sink:
    while True:
        sink(bytes(1 << 20))
"""


def test_a_killed_export_leaves_no_process_behind(recipients: Recipients, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(recipients.keys[0])
    command = [sys.executable, "-c", ENDLESS, str(tmp_path / "key")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as export:
        assert export.stdout is not None
        assert export.stdout.readline()  # it is at work
        [child] = psutil.Process(export.pid).children()
        assert "openpgp_child" in " ".join(child.cmdline())
        export.kill()
        child.wait(timeout=30)


def test_what_the_library_says_at_the_end_is_one_sentence(recipients: Recipients) -> None:
    broken = Recipients((b"no key",), ("0" * 40,))
    with pytest.raises(ConfigError) as error, encrypted(broken, lambda _: None) as sink:
        sink(b"x")
    assert "OpenPGP could not encrypt the file" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_that_expires_while_we_run_is_refused_before_a_byte_is_sent(gnupg: GnuPG) -> None:
    key = gnupg.make_key("Soon <soon@example.com>", expires="30d")
    recipients = read_recipients([gnupg.public_key(key)], now=NOW)
    assert recipients.usable_until is not None
    assert timedelta(days=29) < recipients.usable_until - NOW < timedelta(days=31)
    expired = Recipients(recipients.keys, recipients.fingerprints, NOW)
    sent: list[object] = []
    with pytest.raises(ConfigError, match=f"{key} expired on"), encrypted(expired, sent.append):
        pass
    with pytest.raises(ConfigError, match=f"{key} expired on"):
        encrypt(expired, b"x")
    assert sent == []


def test_an_expired_subkey_is_passed_over_when_there_is_a_new_one(gnupg: GnuPG) -> None:
    key = gnupg.make_key("Rotated <rotated@example.com>", encrypts=False, at=LONG_AGO)
    gnupg.add_subkey(key, expires="1y", at=LONG_AGO)
    gnupg.add_subkey(key)
    recipients = read_recipients([gnupg.public_key(key)], now=NOW)
    assert recipients.usable_until is None
    assert gnupg.decrypt(message_of(recipients, [b"new"])) == b"new"


def expired_subkey(gnupg: GnuPG) -> bytes:
    key = gnupg.make_key("Stale <stale@example.com>", encrypts=False, at=LONG_AGO)
    gnupg.add_subkey(key, expires="1y", at=LONG_AGO)
    return gnupg.public_key(key)


def revoked(gnupg: GnuPG) -> bytes:
    key = gnupg.make_key("Gone <gone@example.com>")
    gnupg.revoke(key)
    return gnupg.public_key(key)


def revoked_subkey(gnupg: GnuPG) -> bytes:
    key = gnupg.make_key("Part <part@example.com>")
    gnupg.revoke_subkey(key)
    return gnupg.public_key(key)


def damaged(gnupg: GnuPG) -> bytes:
    """One byte of the owner's signature over the key is another."""
    key = bytearray(gnupg.public_key(gnupg.make_key("Damaged <damaged@example.com>"), armor=False))
    key[key.index(b"damaged@example.com") + 100] ^= 1
    return bytes(key)


WRONG: dict[str, tuple[Callable[[GnuPG, str], bytes], str]] = {
    "expired": (
        lambda gnupg, _: gnupg.public_key(gnupg.make_key("Old <old@example.com>", expires="1y", at=LONG_AGO)),
        "expired on 2020-12-31: ask its owner to extend it",
    ),
    "expired subkey": (lambda gnupg, _: expired_subkey(gnupg), "expired on 2020-12-31: ask its owner to extend it"),
    "revoked": (lambda gnupg, _: revoked(gnupg), "is revoked: ask its owner"),
    "revoked subkey": (lambda gnupg, _: revoked_subkey(gnupg), "cannot encrypt .* with a subkey for encryption"),
    "no subkey that encrypts": (
        lambda gnupg, _: gnupg.public_key(gnupg.make_key("Signer <signer@example.com>", encrypts=False)),
        "cannot encrypt .* with a subkey for encryption",
    ),
    "secret key": (lambda gnupg, alice: gnupg.secret_key(alice), "this is a secret key.* remove it from here"),
    "binary secret key": (lambda gnupg, alice: gnupg.secret_key(alice, armor=False), "this is a secret key"),
    "a secret key after a public one": (
        lambda gnupg, alice: gnupg.public_key(alice) + gnupg.secret_key(alice),
        "this is a secret key",
    ),
    "two keys": (
        lambda gnupg, alice: gnupg.public_key(alice) + gnupg.public_key(gnupg.make_key("Two <two@example.com>")),
        "there are 2 OpenPGP keys in one.* on its own",
    ),
    "signature": (lambda gnupg, alice: gnupg.sign(alice, b"x"), "no OpenPGP public key .*begins with Signature"),
    "encrypted message": (lambda gnupg, alice: gnupg.encrypt(alice, b"x"), "no OpenPGP public key .*gpg --armor"),
    "half of a key": (lambda gnupg, alice: gnupg.public_key(alice)[:300], "no .*OpenPGP public key"),
    "half of a binary key": (lambda gnupg, alice: gnupg.public_key(alice, armor=False)[:150], "OpenPGP"),
    "damaged": (lambda gnupg, _: damaged(gnupg), "no signature of its owner that is valid"),
    "nothing": (lambda *_: b"", "there is nothing where an OpenPGP public key is expected"),
    "blank": (lambda *_: b" \n", "there is nothing where"),
    "text": (lambda *_: b"hello\n", "this is no OpenPGP public key"),
    "SSH key": (lambda *_: b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@host\n", "this is no OpenPGP public key"),
    "X.509": (lambda *_: b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "no OpenPGP public key"),
    "private key of TLS": (
        lambda *_: b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
        "a secret key",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_key_that_cannot_encrypt_is_refused(gnupg: GnuPG, alice: str, case: str) -> None:
    make, message = WRONG[case]
    key = make(gnupg, alice)
    with pytest.raises(ConfigError, match=message) as error:
        read_recipients([gnupg.public_key(alice), key], now=NOW)
    text = str(error.value)
    assert "\n" not in text
    assert "backtrace" not in text
    lines = [line for line in key.decode(errors="ignore").splitlines() if len(line) > 30]
    assert not [line for line in lines if line in text]


def test_the_same_key_twice_is_refused(gnupg: GnuPG, alice: str) -> None:
    with pytest.raises(ConfigError, match=f"{alice} is given twice"):
        read_recipients([gnupg.public_key(alice), gnupg.public_key(alice, armor=False)], now=NOW)


@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_key_or_a_config_error(gnupg: GnuPG, alice: str, data: st.DataObject) -> None:
    key = bytearray(_public_key(gnupg, alice))
    for _ in range(data.draw(st.integers(1, 4))):
        key[data.draw(st.integers(0, len(key) - 1))] = data.draw(st.integers(0, 255))
    try:
        recipients = read_recipients([bytes(key[: data.draw(st.integers(0, len(key)))])], now=NOW)
    except ConfigError:
        return
    assert recipients.fingerprints == (alice,)


_KEYS: dict[str, bytes] = {}


def _public_key(gnupg: GnuPG, fingerprint: str) -> bytes:
    if fingerprint not in _KEYS:
        _KEYS[fingerprint] = gnupg.public_key(fingerprint, armor=False)
    return _KEYS[fingerprint]
