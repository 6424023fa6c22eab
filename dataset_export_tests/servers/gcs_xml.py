"""The XML of the Google Cloud Storage server."""

from datetime import UTC, datetime
from xml.etree import ElementTree

from dataset_export_tests.servers.gcs_bucket import Blob, MultipartUpload, Refused

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def error(code: str, message: str) -> bytes:
    """The body of an error answer; errors have no namespace."""
    return _document("Error", {"Code": code, "Message": message}, namespace="")


def page_of_objects(bucket: str, prefix: str, most: int, found: list[tuple[str, Blob]]) -> bytes:
    """A page of a listing (version 2) of `most` objects; `found` has one more when there are more."""
    page = found[:most]
    fields = {"Name": bucket, "Prefix": prefix, "MaxKeys": most, "KeyCount": len(page), "IsTruncated": found[most:]}
    if found[most:]:
        fields["NextContinuationToken"] = page[-1][0]
    root = _element("ListBucketResult", fields)
    for name, blob in page:
        one = {
            "Key": name,
            "Generation": blob.generation,
            "MetaGeneration": 1,
            "LastModified": _moment(blob.modified),
            "ETag": f'"{blob.body.md5}"',
            "Size": blob.body.bytes,
        }
        root.append(_element("Contents", one, namespace=""))
    return _text(root)


def page_of_uploads(bucket: str, prefix: str, most: int, found: list[MultipartUpload]) -> bytes:
    """The same of unfinished uploads."""
    page = found[:most]
    fields = {"Bucket": bucket, "Prefix": prefix, "MaxUploads": most, "IsTruncated": found[most:]}
    if found[most:]:
        fields |= {"NextKeyMarker": page[-1].key, "NextUploadIdMarker": page[-1].id}
    root = _element("ListMultipartUploadsResult", fields)
    for upload in page:
        one = {
            "Key": upload.key,
            "UploadId": upload.id,
            "StorageClass": "STANDARD",
            "Initiated": _moment(upload.initiated),
        }
        root.append(_element("Upload", one, namespace=""))
    return _text(root)


def initiated(bucket: str, upload: MultipartUpload) -> bytes:
    """The answer to an initiation."""
    return _document("InitiateMultipartUploadResult", {"Bucket": bucket, "Key": upload.key, "UploadId": upload.id})


def completed(bucket: str, key: str, blob: Blob) -> bytes:
    """The answer to a completion."""
    fields = {"Location": f"http://{bucket}/{key}", "Bucket": bucket, "Key": key, "ETag": f'"-{blob.generation}"'}
    return _document("CompleteMultipartUploadResult", fields)


def copied(blob: Blob) -> bytes:
    """The answer to a copy."""
    return _document("CopyObjectResult", {"LastModified": _moment(blob.modified), "ETag": f'"{blob.body.md5}"'})


def named_parts(body: bytes) -> list[tuple[int, str]]:
    """Number and entity tag of the parts that a request to complete an upload names."""
    try:
        root = ElementTree.fromstring(body)
        if root.tag.rpartition("}")[2] != "CompleteMultipartUpload":
            raise ValueError(root.tag)
        parts = root.findall("{*}Part")
        return [(int(part.findtext("{*}PartNumber", "")), part.findtext("{*}ETag", "")) for part in parts]
    except (ElementTree.ParseError, ValueError) as wrong:
        raise Refused(400, "MalformedXML") from wrong


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _element(name: str, fields: dict[str, object], *, namespace: str = NAMESPACE) -> ElementTree.Element:
    root = ElementTree.Element(name, {"xmlns": namespace} if namespace else {})
    for field, value in fields.items():
        is_flag = field == "IsTruncated"
        ElementTree.SubElement(root, field).text = str(bool(value)).lower() if is_flag else str(value)
    return root


def _document(name: str, fields: dict[str, object], *, namespace: str = NAMESPACE) -> bytes:
    return _text(_element(name, fields, namespace=namespace))


def _text(root: ElementTree.Element) -> bytes:
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
