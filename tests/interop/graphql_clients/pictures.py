"""Takes the README's pictures of GraphiQL and of the status page from a running service.

python -m tests.interop.graphql_clients.pictures writes docs/pictures/*.png. It needs chromium on the PATH
(Debian: apt install chromium), and takes about a minute.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.acceptance.test_processes import tandem
from tests.interop.graphql_clients.node import Node
from tests.interop.graphql_clients.packages import fetched
from tests.processes import ROOT, free_port

PICTURES = ROOT / "docs/pictures"
MAX_BYTES = 100_000


async def take(chromium: str, folder: Path) -> dict[str, int]:
    """Takes all pictures into the folder, and returns their sizes in bytes by file name."""
    with tempfile.TemporaryDirectory(prefix="tandem-pictures-") as directory:
        node = Node(Path(directory), fetched(Path(sys.prefix)))
        port = free_port()
        async with tandem(Path(directory), "up", port=port, PARTITIONS="4") as (_, client):
            address = client.http.base_url.netloc.decode()
            sizes: dict[str, int] = {}
            for color_scheme in ("light", "dark"):
                sizes |= await node.tell(
                    "pictures.mjs", address, chromium, str(folder), color_scheme
                )
    return sizes


def main() -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("There is no chromium on the PATH (Debian: apt install chromium).\n")
        return 1
    PICTURES.mkdir(exist_ok=True)
    sizes = asyncio.run(take(chromium, PICTURES))
    for name, size in sorted(sizes.items()):
        sys.stdout.write(f"docs/pictures/{name}  {size} bytes\n")
    return int(any(size > MAX_BYTES for size in sizes.values()))


if __name__ == "__main__":
    sys.exit(main())
