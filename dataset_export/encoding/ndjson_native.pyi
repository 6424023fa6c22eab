class Writer:
    """Writes rows as NDJSON (spec S6): the compiled writer of `native/`, which a build without a C compiler lacks.

    Raises ValueError for a schema with a type that it does not write."""

    def __init__(self, schema: object) -> None: ...
    def text(self, array: object, first: int, rows: int, /) -> bytes:
        """So many rows from `first` on. Raises ValueError for a value without text, OverflowError for more than 1 GiB."""

    def deflated(self, array: object, first: int, rows: int, alone: bool, /) -> bytes:
        """So many rows from `first` on, as blocks of deflate that end at a whole byte. Unless `alone`, they refer to the text of
        the last call of this method. Raises as `text` does."""

    def last_text(self) -> memoryview:
        """What the last call wrote, not copied. Until it is released, the other methods raise BufferError."""

    def anchors(self) -> bytes:
        """Where the values of the last text begin: `at`, `slot` and a hash of the value, 32 bits each."""
