"""Calls to the paths of one file system: what the store and its uploads are made of.

Paths here are those of the file system, with the destination's folder. Every call is safe to repeat after its answer was
lost, or its caller settles what the first one did.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from dataset_export.destinations.azure_calls import Answered, AzureCalls, ClientSource
from dataset_export.destinations.filesystem import PRUNING_TRIES
from dataset_export.errors import AccessDenied, TransientError

NO_SUCH_PATH = frozenset({"PathNotFound", "BlobNotFound", "ResourceNotFound"})
TAKEN = frozenset({"PathAlreadyExists", "ConditionNotMet", "BlobAlreadyExists"})
CHANGED = frozenset({"ConditionNotMet"})
SOURCE_GONE = frozenset({"SourcePathNotFound", "InvalidRenameSourcePath"}) | NO_SUCH_PATH
SOURCE_CHANGED = frozenset({"SourceConditionNotMet"})
NO_SUCH_RANGE = frozenset({"InvalidRange"})
NO_FOLDER = frozenset({"RenameDestinationParentPathNotFound"})
NOT_EMPTY = frozenset({"DirectoryNotEmpty"})
SHA256_KEY = "sha256"
"""Metadata of a file of ours: the SHA-256 of its bytes, in hex."""
PAGE = 5000
BAD_REQUEST = 400


class Clients(NamedTuple):
    """One file system through both endpoints of the account: a FileSystemClient and a ContainerClient."""

    files: Any
    blobs: Any


class Seen(NamedTuple):
    """A path as the service shows it; `bytes` and `sha256` (its metadata, "" for none) are those of a file."""

    is_folder: bool
    bytes: int
    etag: str
    sha256: str


class Paths:
    """Calls to the file system called `name` in errors, through the `Clients` that `source` gives."""

    def __init__(self, name: str, source: ClientSource) -> None:
        self._calls = AzureCalls(name, source)
        self._name = name

    def is_hierarchical(self) -> bool:
        """Whether the account has a hierarchical namespace. Who may not ask about the account is answered by the access
        control list of the root, which only such an account has. Raises ExportError when neither may be asked."""
        try:
            information = self._calls.call(
                "Get Account Information", lambda clients: clients.blobs.get_account_information()
            )
        except AccessDenied:
            return self._calls.call("Path - Get Properties (access control)", _root_has_access_control)
        return bool(information.get("is_hns_enabled"))

    def find(self, path: str) -> Seen | None:
        """What is at `path`."""
        try:
            found = self._file("Path - Get Properties", path, lambda file: file.get_file_properties(), NO_SUCH_PATH)
        except Answered:
            return None
        return _seen(found)

    def create(self, path: str, *, sha256: str | None = None) -> str:
        """An empty file in place of whatever file has the name; folders above it are made by the service. Returns its
        entity tag."""
        metadata = {SHA256_KEY: sha256} if sha256 is not None else None
        return self._file("Path - Create", path, lambda file: file.create_file(metadata=metadata))["etag"]

    def append(self, path: str, position: int, data: bytes) -> None:
        """Send bytes for a position, with their MD5, which the service checks. They are not part of the file yet, and
        sent again they replace themselves."""
        self._file(
            "Path - Update (append)",
            path,
            lambda file: file.append_data(data, position, len(data), validate_content="md5"),
        )

    def flush(self, path: str, size: int, *, md5: bytes | None = None) -> str:
        """Make what was appended the file's `size` bytes; the service refuses a gap. `md5` is kept with it. Returns the
        entity tag."""
        from azure.storage.filedatalake import ContentSettings

        settings = ContentSettings(content_md5=bytearray(md5)) if md5 is not None else None
        return self._file(
            "Path - Update (flush)", path, lambda file: file.flush_data(size, close=True, content_settings=settings)
        )["etag"]

    def set_sha256(self, path: str, sha256: str, etag: str) -> str:
        """Record the checksum with the file that has this entity tag. Returns its new one.

        Raises:
            Answered: with a code of `CHANGED` when there is another file, unless that has the checksum already.
        """
        from azure.core import MatchConditions

        metadata = {SHA256_KEY: sha256}
        try:
            return self._file(
                "Set Blob Metadata",
                path,
                lambda file: file.set_metadata(metadata, etag=etag, match_condition=MatchConditions.IfNotModified),
                CHANGED,
            )["etag"]
        except Answered:
            # The answer to a first try may have been lost: then the checksum is there.
            seen = self.find(path)
            if seen is None or seen.sha256 != sha256:
                raise
            return seen.etag

    def rename(self, source: str, target: str, *, source_etag: str | None = None, replace: bool = False) -> None:
        """Give a file another name, atomically. The folder above the new name is made when it is missing.

        Raises:
            Answered: with a code of `TAKEN` (never with `replace`), `SOURCE_GONE` or `SOURCE_CHANGED`.
            TransientError: also when the answer was lost; it may have been done then.
        """
        from azure.core import MatchConditions

        options: dict[str, Any] = {}
        if not replace:
            options["match_condition"] = MatchConditions.IfMissing
        if source_etag is not None:
            options |= {"source_etag": source_etag, "source_match_condition": MatchConditions.IfNotModified}

        def request(clients: Clients) -> None:
            name: str = clients.files.file_system_name
            clients.files.get_file_client(source).rename_file(
                f"{name}/{target}", raw_request_hook=_exact_source(name, source), **options
            )

        for _ in range(PRUNING_TRIES):
            try:
                self._calls.call(
                    "Path - Create (rename)", request, expect=TAKEN | SOURCE_GONE | SOURCE_CHANGED | NO_FOLDER
                )
            except Answered as answer:
                if answer.code not in NO_FOLDER:
                    raise
                self._make_folder(target.rpartition("/")[0])
            else:
                return
        raise TransientError(
            f"the folder of {target} in {self._name} is no folder, or is removed as often as it is made: look at what is "
            "there; it is tried again"
        )

    def delete(self, path: str) -> bool:
        """Delete a file, or an empty folder. Whether there was one.

        Raises:
            Answered: with a code of `NOT_EMPTY`.
        """
        try:
            self._file("Path - Delete", path, lambda file: file.delete_file(recursive=False), NO_SUCH_PATH | NOT_EMPTY)
        except Answered as answer:
            if answer.code in NOT_EMPTY:
                raise
            return False
        return True

    def prune(self, folder: str, root: str, *, is_folder: bool) -> None:
        """Delete `folder` and those above it that are empty, up to `root` (which stays). The service refuses to delete
        one that is not empty, so a writer who comes meanwhile loses nothing. `is_folder` says that the name is known to
        be no file; otherwise it is looked at first."""
        while len(folder) > len(root):
            if not is_folder and (seen := self.find(folder)) is not None:
                if not seen.is_folder:
                    return
                is_folder = True
            if is_folder:
                try:
                    is_folder = self.delete(folder)
                except Answered:
                    return
            folder = folder.rpartition("/")[0]

    def below(self, folder: str, *, recursive: bool = True) -> Iterator[Any]:
        """Properties of what is below a folder ("" is the root), folders among them; none when there is no folder."""
        for page in self._pages(folder, recursive=recursive, most=PAGE):
            yield from page

    def check(self, folder: str) -> None:
        """List one path of a folder. Raises ExportError."""
        next(self._pages(folder, recursive=False, most=1), None)

    def read(self, path: str, start: int, size: int, *, etag: str | None = None) -> tuple[bytes, Seen]:
        """A range of a file, of the version that has this entity tag if one is given. Raises Answered when there is
        none."""
        from azure.core import MatchConditions

        condition = {} if etag is None else {"etag": etag, "match_condition": MatchConditions.IfNotModified}

        def request(clients: Clients) -> tuple[bytes, Seen]:
            answer = clients.blobs.get_blob_client(path).download_blob(start, size, **condition)
            data, properties = answer.readall(), answer.properties
            # The size that it says is that of the range.
            properties.size = int(properties.content_range.rpartition("/")[2])
            return data, _seen(properties)

        try:
            return self._calls.call("Path - Read", request, expect=CHANGED | NO_SUCH_PATH | NO_SUCH_RANGE)
        except Answered as answer:
            if answer.code not in NO_SUCH_RANGE:
                raise
        # An empty file has no range at all, and neither has a folder.
        seen = self.find(path)
        if seen is None or seen.bytes:
            raise TransientError(f"{path} in {self._name} was replaced while it was read: read it again")
        return b"", seen

    def _make_folder(self, folder: str) -> None:
        from azure.core import MatchConditions

        self._expecting(
            TAKEN,
            "Path - Create (directory)",
            lambda clients: clients.files.get_directory_client(folder).create_directory(
                match_condition=MatchConditions.IfMissing
            ),
        )

    def _expecting(self, codes: frozenset[str], operation: str, request: Callable[[Clients], Any]) -> None:
        try:
            self._calls.call(operation, request, expect=codes)
        except Answered:
            return

    def _pages(self, folder: str, *, recursive: bool, most: int) -> Iterator[list[Any]]:
        token: str | None = None
        while True:

            def one_page(clients: Clients, token: str | None = token) -> tuple[list[Any], str | None]:
                pages = clients.files.get_paths(folder or None, recursive=recursive, max_results=most).by_page(token)
                return list(next(pages)), pages.continuation_token

            try:
                page, token = self._calls.call("Path - List", one_page, expect=NO_SUCH_PATH)
            except Answered:
                return
            yield page
            if not token:
                return

    def _file(
        self, operation: str, path: str, request: Callable[[Any], Any], expect: frozenset[str] = frozenset()
    ) -> Any:
        return self._calls.call(operation, lambda clients: request(clients.files.get_file_client(path)), expect=expect)


def _seen(properties: Any) -> Seen:
    metadata: dict[str, str] = properties.metadata or {}
    is_folder = metadata.get("hdi_isfolder") == "true"
    return Seen(is_folder, properties.size or 0, properties.etag, metadata.get(SHA256_KEY, ""))


def _root_has_access_control(clients: Clients) -> bool:
    from azure.core.exceptions import HttpResponseError

    try:
        clients.files.get_directory_client("/").get_access_control()
    except HttpResponseError as error:
        if error.status_code == BAD_REQUEST:
            return False
        raise
    return True


def _exact_source(file_system: str, path: str) -> Callable[[Any], None]:
    """Names the source of a rename as it is. The SDK decodes percent signs in it first, and so would rename another file
    than one called `a%20b`. What it wrote after the name (a SAS) stays."""

    def correct(request: Any) -> None:
        headers = request.http_request.headers
        _, mark, sas = headers["x-ms-rename-source"].partition("?")
        headers["x-ms-rename-source"] = f"/{quote(file_system)}/{quote(path)}{mark}{sas}"

    return correct
