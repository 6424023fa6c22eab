"""Public OpenPGP keys, checked before anything is encrypted for them (spec S3).

The library encrypts for revoked keys, and for expired ones where there is no other: such a key is refused here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataset_export.errors import ConfigError

if TYPE_CHECKING:
    from pysequoia import Cert
    from pysequoia.packet import Packet

EXPORT_IT = "let its owner export the public key (gpg --armor --export NAME) and give that"


@dataclass(frozen=True)
class Recipients:
    """Who can read what is encrypted: public keys that were checked. Plain values, nothing secret.

    Attributes:
        keys: the keys in OpenPGP's binary form.
        fingerprints: of the keys, upper-case hex, in the same order.
        usable_until: when the first of them expires (UTC); None when none does.
    """

    keys: tuple[bytes, ...]
    fingerprints: tuple[str, ...]
    usable_until: datetime | None = None

    def require_usable(self, now: datetime) -> None:
        """Raise ConfigError when a key has expired meanwhile."""
        if self.usable_until is not None and self.usable_until <= now:
            raise ConfigError(
                f"one of the OpenPGP keys {', '.join(self.fingerprints)} expired on {self.usable_until:%Y-%m-%d}: ask its "
                "owner for one that is extended, and nothing was sent"
            )


def read_recipients(keys: Sequence[bytes], *, now: datetime) -> Recipients:
    """Check public keys and encrypt something with each, so that a key that cannot encrypt shows at load.

    Args:
        keys: each is one public key, as an armored block or binary.
        now: has to be before the keys expire.

    Raises:
        ConfigError: for what is no public key or more than one, a secret key, one that is revoked, expired, or cannot
            encrypt, and one that is given twice. Its text repeats nothing of the key but its fingerprint.
    """
    return together([_checked(key, now) for key in keys])


def together(parts: Sequence[Recipients]) -> Recipients:
    """All recipients of `parts`, which are checked already. Raises ConfigError for a key that is given twice."""
    fingerprints = tuple(fingerprint for part in parts for fingerprint in part.fingerprints)
    for fingerprint in fingerprints:
        if fingerprints.count(fingerprint) > 1:
            raise ConfigError(f"the OpenPGP key {fingerprint} is given twice: give each recipient's key once")
    ends = [part.usable_until for part in parts if part.usable_until is not None]
    return Recipients(tuple(key for part in parts for key in part.keys), fingerprints, min(ends, default=None))


def _checked(data: bytes, now: datetime) -> Recipients:
    certificate = _certificate(data)
    fingerprint = certificate.fingerprint.upper()
    if certificate.is_revoked:
        raise ConfigError(f"the OpenPGP key {fingerprint} is revoked: ask its owner for the key that replaces it")
    try:
        expires = certificate.expiration
    except RuntimeError as error:
        raise ConfigError(
            f"the OpenPGP key {fingerprint} has no signature of its owner that is valid by today's rules "
            f"({_reason(error)}): ask its owner for one that is signed with SHA-256 or better"
        ) from None
    if expires is None or expires > now:
        expires = min((one for one in (expires, _used_until(certificate, fingerprint)) if one), default=None)
    if expires is not None and expires <= now:
        raise ConfigError(
            f"the OpenPGP key {fingerprint} expired on {expires:%Y-%m-%d}: ask its owner to extend it and to export it "
            "again"
        )
    return Recipients((bytes(certificate),), (fingerprint,), expires)


def _certificate(data: bytes) -> "Cert":
    from pysequoia import Cert
    from pysequoia.packet import PacketPile, Tag

    if not data.strip():
        raise ConfigError(f"there is nothing where an OpenPGP public key is expected: {EXPORT_IT}")
    try:
        tags = [packet.tag for packet in PacketPile.from_bytes(data)]
    except RuntimeError as error:
        tags, reason = [], _reason(error)
    else:
        reason = f"it begins with {str(tags[0]).removeprefix('Tag.')}" if tags else "it is empty"
    if b"PRIVATE KEY" in data or any(tag in (Tag.SecretKey, Tag.SecretSubkey) for tag in tags):
        raise ConfigError(
            "this is a secret key, which only its owner may have: remove it from here, tell its owner that it was "
            f"shown, then {EXPORT_IT}"
        )
    if not tags or tags[0] != Tag.PublicKey:
        raise ConfigError(f"this is no OpenPGP public key ({reason}): {EXPORT_IT}")
    try:
        certificates = Cert.split_bytes(data)
    except RuntimeError as error:
        raise ConfigError(f"this is no whole OpenPGP public key ({_reason(error)}): {EXPORT_IT}") from None
    if len(certificates) != 1:
        raise ConfigError(
            f"there are {len(certificates)} OpenPGP keys in one, and files would be encrypted for all of them: give each "
            "recipient's key on its own"
        )
    return certificates[0]


def _used_until(certificate: "Cert", fingerprint: str) -> datetime | None:
    """Encrypt something, and return when the last of the (sub)keys that this was done for expires; None for never.

    The library passes over expired subkeys only while there is another one.
    """
    from pysequoia import encrypt as encrypt_bytes
    from pysequoia.packet import PacketPile, Tag

    try:
        message = encrypt_bytes(b"test", [certificate], armor=False)
    except RuntimeError as error:
        raise ConfigError(
            f"the OpenPGP key {fingerprint} cannot encrypt ({_reason(error)}): ask its owner for one with a subkey for "
            "encryption that is not revoked"
        ) from None
    used = {_recipient(packet.body) for packet in PacketPile.from_bytes(message) if packet.tag == Tag.PKESK}
    ends = [_expires(part) for part in _parts(PacketPile.from_bytes(bytes(certificate)), used)]
    never = None in ends or not ends
    return None if never else max(end for end in ends if end is not None)


def _recipient(session_key: bytes) -> str:
    """The key that a PKESK packet is for (RFC 9580, 5.1): an id in version 3, a version and a fingerprint in version 6."""
    if session_key[0] == 3:
        return session_key[1:9].hex()
    return session_key[3 : 2 + session_key[1]].hex()


def _parts(packets: "Iterable[Packet]", used: set[str]) -> "Iterator[list[Packet]]":
    """Each of the (sub)keys `used`, with the signatures that follow it."""
    from pysequoia.packet import Tag

    part: list[Packet] = []
    for packet in packets:
        if packet.tag in (Tag.PublicKey, Tag.PublicSubkey):
            if part:
                yield part
            part = [packet] if {packet.fingerprint, packet.key_id} & used else []
        elif part:
            part.append(packet)
    if part:
        yield part


def _expires(part: "list[Packet]") -> datetime | None:
    """When a subkey expires, by the newest signature that binds it."""
    from pysequoia.packet import SignatureType

    key, *signatures = part
    bindings = [one for one in signatures if one.signature_type == SignatureType.SubkeyBinding]
    newest = max(bindings, key=lambda one: one.signature_created or datetime.min.replace(tzinfo=UTC), default=None)
    if newest is None or not newest.key_validity_period or key.key_created is None:
        return None
    return key.key_created + newest.key_validity_period


def _reason(error: BaseException) -> str:
    """What the library says, without the trace of its own code that it adds."""
    return str(error).partition("\n")[0].strip()
