"""Numbers of the fields in parquet's Thrift structs that are read or changed here. Spec: parquet.thrift of
apache/parquet-format 2.12."""


class FileMetaData:
    SCHEMA = 2
    NUM_ROWS = 3
    ROW_GROUPS = 4
    KEY_VALUE_METADATA = 5
    CREATED_BY = 6
    COLUMN_ORDERS = 7
    ENCRYPTION_ALGORITHM = 8


class SchemaElement:
    REPETITION = 3
    NAME = 4
    CHILDREN = 5
    CONVERTED_TYPE = 6
    FIELD_ID = 9
    LOGICAL_TYPE = 10


class RowGroup:
    COLUMNS = 1
    TOTAL_BYTE_SIZE = 2
    NUM_ROWS = 3
    SORTING_COLUMNS = 4
    FILE_OFFSET = 5
    TOTAL_COMPRESSED_SIZE = 6
    ORDINAL = 7


class SortingColumn:
    COLUMN_INDEX = 1


class ColumnChunk:
    FILE_PATH = 1
    FILE_OFFSET = 2
    META_DATA = 3
    OFFSET_INDEX_OFFSET = 4
    OFFSET_INDEX_LENGTH = 5
    COLUMN_INDEX_OFFSET = 6
    COLUMN_INDEX_LENGTH = 7
    CRYPTO_METADATA = 8
    ENCRYPTED_METADATA = 9


class ColumnMetaData:
    PATH = 3
    CODEC = 4
    NUM_VALUES = 5
    TOTAL_UNCOMPRESSED_SIZE = 6
    TOTAL_COMPRESSED_SIZE = 7
    DATA_PAGE_OFFSET = 9
    INDEX_PAGE_OFFSET = 10
    DICTIONARY_PAGE_OFFSET = 11
    BLOOM_FILTER_OFFSET = 14
    BLOOM_FILTER_LENGTH = 15


class PageHeader:
    TYPE = 1
    UNCOMPRESSED_SIZE = 2
    COMPRESSED_SIZE = 3
    CRC = 4
    DATA_PAGE = 5
    DICTIONARY_PAGE = 7
    DATA_PAGE_V2 = 8


class DataPageHeader:
    NUM_VALUES = 1
    ENCODING = 2
    DEFINITION_LEVEL_ENCODING = 3
    REPETITION_LEVEL_ENCODING = 4


class DictionaryPageHeader:
    NUM_VALUES = 1
    ENCODING = 2


class DataPageHeaderV2:
    NUM_VALUES = 1
    NUM_NULLS = 2
    NUM_ROWS = 3
    ENCODING = 4
    DEFINITION_LEVELS_LENGTH = 5
    REPETITION_LEVELS_LENGTH = 6
    IS_COMPRESSED = 7


class OffsetIndex:
    PAGE_LOCATIONS = 1


class PageLocation:
    OFFSET = 1
    COMPRESSED_SIZE = 2


class PageType:
    DATA_PAGE = 0
    DICTIONARY_PAGE = 2
    DATA_PAGE_V2 = 3


class Codec:
    UNCOMPRESSED = 0
    SNAPPY = 1
    GZIP = 2
    BROTLI = 4
    LZ4 = 5
    ZSTD = 6
    LZ4_RAW = 7


REPEATED = 2
"""FieldRepetitionType of an element that makes a list."""
