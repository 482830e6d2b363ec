"""Runs notebooks without a network, on a lake.

    notebooks.py LAKE NOTEBOOK...            runs each; exits with 1 when a cell fails
    notebooks.py --write LAKE NOTEBOOK...    and keeps what the cells show

The kernel talks over files, so it runs where there is no network at all (`unshare --net`). What a notebook holds must be what
the cells show now: as many tables and pictures, in the same places.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient


def shown(notebook):
    """The kinds of output under each cell."""
    return [
        [sorted(output.get("data", {"text": None})) for output in cell.get("outputs", [])]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


async def run(path, lake, write):
    notebook = nbformat.read(path, as_version=4)
    kept = shown(notebook)
    with tempfile.TemporaryDirectory() as sockets:
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        place = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(notebook, km=manager, timeout=300, startup_timeout=300, resources=place)
        await client.async_execute(env=os.environ | {"PIPELINE_LAKE": str(Path(lake).resolve())})
    if write:
        for cell in notebook.cells:  # when it ran is nobody's business, and would change with every run
            cell.metadata.pop("execution", None)
        notebook.metadata.pop("widgets", None)
        nbformat.write(notebook, path)
    elif shown(notebook) != kept:
        print(f"{path.name} shows something else now: run it again with --write", file=sys.stderr)
        return 1
    return 0


def main(arguments):
    write = arguments[:1] == ["--write"]
    lake, *paths = arguments[write:]
    return max(asyncio.run(run(Path(path).resolve(), lake, write)) for path in paths)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
