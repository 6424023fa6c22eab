"""Calls the command several times in one process, with every line that a library logs, as a real terminal would show it.

`python -m dataset_export_tests.secrets.driver FILE`: the file holds a JSON list of argument lists.
"""

import json
import logging
import sys
from pathlib import Path

from dataset_export.cli.main import cli
from dataset_export.cli.session import Session
from dataset_export.components.catalog import load_catalog
from dataset_export.destinations import retry
from dataset_export.orchestration import failures


def main(file: str) -> None:
    # What happens between two tries is not what this is about.
    retry.FIRST_WAIT_SECONDS = failures.FIRST_WAIT_SECONDS = 0.01
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    catalog = load_catalog()
    for arguments in json.loads(Path(file).read_text()):
        print(f"$ dataset-export {' '.join(arguments)}", flush=True)
        try:
            cli(arguments, prog_name="dataset-export", obj=Session(load_catalog=lambda: catalog))
        except SystemExit as end:
            print(f"exit code {end.code}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
