"""Write deploy/grafana/*.json anew; tests/golden/deploy/test_dashboards.py holds them against this."""

import json
import pathlib
import sys
from typing import Final

from grafana_foundation_sdk.cog import encoder

from deploy.dashboards import agent, attribution, board, certificates, flows, mesh

FOLDER: Final = pathlib.Path(__file__).parents[1] / "grafana"
BOARDS: Final = {
    "agent": agent.BOARD,
    "attribution": attribution.BOARD,
    "certificates": certificates.BOARD,
    "flows": flows.BOARD,
    "mesh": mesh.BOARD,
}


def written(name: str) -> str:
    """Give one file."""
    return json.dumps(board.build(BOARDS[name]), cls=encoder.JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Run as a program."""
    for name in BOARDS:
        (FOLDER / f"{name}.json").write_text(written(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
