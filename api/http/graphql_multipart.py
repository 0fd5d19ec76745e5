"""GraphQL subscriptions over multipart HTTP, which Apollo Client uses (multipart/mixed;subscriptionSpec=1.0).

Clients read a part when its closing boundary arrives, so each part ends with the next boundary.
"""

from __future__ import annotations

from typing import Final

import msgspec

from api.errors import Formatted
from api.http.result_stream import Framing

_BOUNDARY: Final = b"\r\n--graphql"
"""Never in a part: JSON has no line break in a string."""

_encode = msgspec.json.Encoder().encode


def _part(content: Formatted) -> bytes:
    return b"\r\ncontent-type: application/json\r\n\r\n%b%b" % (_encode(content), _BOUNDARY)


MULTIPART_STREAM: Final = Framing(
    content_type=b'multipart/mixed; boundary="graphql"; subscriptionSpec=1.0',
    result=lambda response, _: _part({"payload": response}),
    error=lambda response: _part({"payload": None, **response}),
    complete=b"--\r\n",
    keep_alive=_part({}),
    opening=_BOUNDARY,
)
