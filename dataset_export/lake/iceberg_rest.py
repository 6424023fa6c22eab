"""The client of a REST catalog, with limits that pyiceberg's own has not: how long it waits, and how often it tries."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from dataset_export.lake.objects import CONNECT_SECONDS, REQUEST_SECONDS, TRIES

if TYPE_CHECKING:
    from pyiceberg.catalog.rest import RestCatalog
    from requests import Session

_BUSY = (429, 500, 502, 503, 504)
_BACKOFF = 0.3
"""Half of the seconds before the second of the further tries; the first comes at once, the third after twice as long."""


def rest_catalog(name: str, properties: Mapping[str, str]) -> "RestCatalog":
    """Ask the service for its configuration, and sign in.

    Raises:
        requests.RequestException: when it does not take the connection within `CONNECT_SECONDS`, or sends nothing for
            `REQUEST_SECONDS`.
        pyiceberg.exceptions.RESTError: what it answers instead.
    """
    from pyiceberg.catalog.rest import RestCatalog

    class Limited(RestCatalog):
        def _config_headers(self, session: "Session") -> None:
            # Of each new session, before it signs in with it.
            super()._config_headers(session)
            _limit(session)

    return Limited(name, **properties)


def _limit(session: "Session") -> None:
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    # A request that nothing was sent to is not sent again: the step is tried again, with a wait that grows. Everything that
    # is asked of a catalog here only reads, signing in too.
    retry = Retry(
        TRIES,
        read=0,
        status_forcelist=_BUSY,
        allowed_methods=None,
        backoff_factor=_BACKOFF,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.request = cast("Any", partial(session.request, timeout=(CONNECT_SECONDS, REQUEST_SECONDS)))
