"""Generated web events in the shape of Adobe's Experience Data Model: deeply nested, seeded, dated by the lake's commits."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

TIMESTAMP_COLUMN = "timestamp"
ROWS = (48_000, 6_000, 4_000, 2_000)
OLD_ROWS = 60
"""Rows of the first commit that are older than any export keeps (spec S10)."""
NEW_COLUMN_FROM = 2
"""The commit, counted from 0, from which on events have the column `consent`."""

_SEED = 2013
_PRODUCTS = ["neck pillow", "travel adapter", "eye mask", "rain jacket", "city guide", "luggage tag"]
_PAGES = ["home", "search", "fare", "seats", "checkout", "thanks"]
_KINDS = [
    "web.webpagedetails.pageViews",
    "web.webinteraction.linkClicks",
    "commerce.productViews",
    "commerce.purchases",
]


def web_events(moments: Sequence[datetime]) -> list["pa.Table"]:
    """One table of events per commit time, each of the time since the commit before; the first of the three weeks before."""
    import pyarrow as pa

    generator = random.Random(_SEED)  # noqa: S311 (data, not secrets)
    tables: list[pa.Table] = []
    since = moments[0] - timedelta(days=21)
    for number, (moment, rows) in enumerate(zip(moments, ROWS, strict=True)):
        old = OLD_ROWS if number == 0 else 0
        times = [moment - timedelta(days=generator.uniform(400, 500)) for _ in range(old)]
        times += [since + (moment - since) * generator.random() for _ in range(rows - old)]
        schema = _schema(with_consent=number >= NEW_COLUMN_FROM)
        events = [_event(generator, at) for at in sorted(times)]
        tables.append(pa.Table.from_pylist(events, schema=schema))
        since = moment
    return tables


def _event(generator: random.Random, at: datetime) -> dict[str, Any]:
    kind = generator.choices(_KINDS, weights=[60, 25, 12, 3])[0]
    commerce = kind.startswith("commerce")
    known = generator.random() < 0.4
    return {
        "_id": f"{generator.getrandbits(96):024x}",
        TIMESTAMP_COLUMN: at,
        "eventType": kind,
        "identity": {
            "ecid": f"{generator.getrandbits(120):037d}",
            "loggedIn": known,
            "others": [{"namespace": "email_sha256", "id": f"{generator.getrandbits(64):016x}"}] if known else [],
        },
        "productListItems": [_item(generator) for _ in range(generator.randint(1, 3))] if commerce else None,
        "web": {
            "page": {"name": generator.choice(_PAGES), "views": generator.randint(1, 3)},
            "referrer": generator.choice([None, "https://search.example/", "https://news.example/a?b=1&c=ü"]),
            "loadSeconds": round(generator.lognormvariate(0, 0.6), 3),
        },
        "attributes": {"campaign": f"c{generator.randint(1, 20)}", "device": generator.choice(["phone", "desktop"])}
        if generator.random() < 0.7
        else None,
        "consent": generator.choice(["in", "out", None]),
    }


def _item(generator: random.Random) -> dict[str, Any]:
    return {
        "name": generator.choice(_PRODUCTS),
        "sku": f"SKU-{generator.randint(1, 400):05d}",
        "quantity": generator.randint(1, 4),
        "priceTotal": Decimal(generator.randint(199, 19_999)).scaleb(-2),
        "discount": generator.choice([None, 0.05, 0.1, 0.25]),
    }


def _schema(*, with_consent: bool) -> "pa.Schema":
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    item = pa.struct(
        {
            "name": text,
            "sku": text,
            "quantity": pa.int32(),
            "priceTotal": pa.decimal128(12, 2),
            "discount": pa.float64(),
        }
    )
    fields: dict[str, Any] = {
        "_id": text,
        TIMESTAMP_COLUMN: pa.timestamp("us", "UTC"),
        "eventType": text,
        "identity": pa.struct(
            {"ecid": text, "loggedIn": pa.bool_(), "others": pa.list_(pa.struct({"namespace": text, "id": text}))}
        ),
        "productListItems": pa.list_(item),
        "web": pa.struct(
            {"page": pa.struct({"name": text, "views": number}), "referrer": text, "loadSeconds": pa.float64()}
        ),
        "attributes": pa.map_(text, text),
    }
    if with_consent:
        fields["consent"] = text
    return pa.schema(fields)
