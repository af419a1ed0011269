"""What is compared: each keeps the same intents in its own way, with its own objects and its own programs.

``CATALOGUE`` has them in the order of the report's columns.
"""

from typing import Final

from comparisons.contenders import address, both, model, nothing, observer, per_node, sidecar

CATALOGUE: Final[dict[str, model.Contender]] = {
    it.name: it
    for it in (
        nothing.Nothing(),
        observer.Observer(),
        address.WITHOUT_CARE,
        address.Address(),
        per_node.PerNode(),
        sidecar.Sidecar(),
        both.Both(first=address.Address(), second=sidecar.Sidecar()),
    )
}
