"""What SFTP's packets look like, and what is made of those that make no sense."""

import stat

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_export.destinations.sftp_packets import Fields, Status, path, string, uint32, uint64

NUMBER = st.integers(0, 2**32 - 1)
LARGE = st.integers(0, 2**64 - 1)


@given(NUMBER, LARGE, st.binary(max_size=50), st.binary(max_size=50))
def test_fields_are_read_as_they_were_written(number: int, large: int, text: bytes, name: bytes) -> None:
    known = name.decode("utf-8", "surrogateescape")
    fields = Fields(uint32(number) + uint64(large) + string(text) + path(known))
    assert (fields.uint32(), fields.uint64(), fields.string()) == (number, large, text)
    assert not fields.ended
    assert fields.path() == known
    assert fields.ended


@given(
    size=st.none() | LARGE,
    owner=st.none() | NUMBER,
    mode=st.none() | NUMBER,
    modified=st.none() | NUMBER,
    extended=st.none() | st.lists(st.binary(max_size=9), max_size=3),
    unknown=st.sampled_from([0, 0x20, 0x10000000]),
)
def test_attributes(
    size: int | None,
    owner: int | None,
    mode: int | None,
    modified: int | None,
    extended: list[bytes] | None,
    unknown: int,
) -> None:
    given_fields = {
        0x1: None if size is None else uint64(size),
        0x2: None if owner is None else uint32(owner) * 2,
        0x4: None if mode is None else uint32(mode),
        0x8: None if modified is None else uint32(7) + uint32(modified),
        0x80000000: None
        if extended is None
        else uint32(len(extended)) + b"".join(string(one) + string(b"x") for one in extended),
    }
    flags = sum(flag for flag, data in given_fields.items() if data is not None)
    fields = Fields(uint32(flags | unknown) + b"".join(filter(None, given_fields.values())) + b"next")
    status, all_there = fields.status()
    assert status == Status(mode or 0, size or 0, modified or 0)
    assert all_there == (None not in (size, mode, modified))
    assert fields._take(4) == b"next"


@pytest.mark.parametrize(
    ("mode", "kind"), [(stat.S_IFREG, "file"), (stat.S_IFDIR, "folder"), (stat.S_IFLNK, "link"), (stat.S_IFIFO, "")]
)
def test_what_a_name_is(mode: int, kind: str) -> None:
    status = Status(mode | 0o644, 0, 0)
    assert [one for one in ("file", "folder", "link") if getattr(status, f"is_{one}")] == [kind] * bool(kind)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (2, asyncssh.SFTPNoSuchFile),
        (3, asyncssh.SFTPPermissionDenied),
        (4, asyncssh.SFTPFailure),
        (8, asyncssh.SFTPOpUnsupported),
        (11, asyncssh.SFTPFileAlreadyExists),
        (14, asyncssh.SFTPNoSpaceOnFilesystem),
        (15, asyncssh.SFTPQuotaExceeded),
        (1234, asyncssh.SFTPError),
    ],
)
def test_status(code: int, kind: type[asyncssh.SFTPError]) -> None:
    error = Fields(uint32(code) + string(b"no \xff") + string(b"en")).error()
    assert type(error) is kind
    assert "no \ufffd" in str(error)
    assert type(Fields(uint32(code)).error()) is kind  # some servers say no more


def test_status_of_success() -> None:
    assert Fields(uint32(0)).error() is None


@given(st.binary(max_size=40))
def test_packet_that_is_cut_off_is_a_broken_connection(packet: bytes) -> None:
    whole = uint32(0xF) + uint64(1) + uint32(2) * 2 + uint32(3) + uint32(4) * 2
    for garbled in (packet, whole[: len(packet) % len(whole)]):
        fields = Fields(garbled)
        try:
            fields.status()
            while not fields.ended:
                fields.string()
        except asyncssh.SFTPConnectionLost as error:
            assert "too short" in str(error)  # noqa: PT017
