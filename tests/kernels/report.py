"""What the payload found on one kernel, as it travels over a serial line: one marked line of JSON."""

import dataclasses
import json

MARK = "IPSEITY-REPORT "


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Findings of one kernel. Everything that was not reached is at its default, which never reads as success."""

    kernel: str
    ends_right: int = 0
    ends_expected: int = 0
    bytes_seen: dict[str, int] = dataclasses.field(default_factory=dict)
    bytes_expected: dict[str, int] = dataclasses.field(default_factory=dict)
    hooks: dict[str, bool] = dataclasses.field(default_factory=dict)
    """Hook name, and whether this kernel has it and our program is attached to it."""
    adopted: bool = False
    """A second agent took over the programs that a first one had left running, and counted on with them."""
    losses: dict[str, int] = dataclasses.field(default_factory=dict)
    """What the programs say they could not count, by stage."""
    differences: list[str] = dataclasses.field(default_factory=list)
    """Every edge whose counts are not what the programs said, in words."""
    told: dict[str, int] = dataclasses.field(default_factory=dict)
    """What came of the handshake: the numbers of ``told.Told``."""
    problem: str = ""
    """Why there is no finding: the end of the console or of a traceback."""

    @property
    def holds(self) -> bool:
        """Every end right, every byte counted, and something was counted at all, after a restart."""
        ends = self.ends_right == self.ends_expected > 0
        every_byte = self.bytes_seen == self.bytes_expected and bool(self.bytes_expected)
        return ends and every_byte and self.adopted and self.handshakes_hold and not self.problem

    @property
    def handshakes_hold(self) -> bool:
        """Every end known, no forgery believed, no connection failed; and something was tried of each."""
        told = self.told
        tried = bool(told) and all(told[name] for name in ("ends", "forged", "connected"))
        return (
            tried and told["ends_known"] == told["ends"] and not (told["believed"] or told["failed"] or told["wrong"])
        )

    def line(self) -> str:
        """Return the form that ``from_console`` reads."""
        return MARK + json.dumps(dataclasses.asdict(self))


def from_console(console: str, kernel: str) -> Report:
    """Find the report in what a machine said; what it said last explains a missing one."""
    for line in console.splitlines():
        if MARK in line:
            found = Report(**json.loads(line[line.index(MARK) + len(MARK) :]))
            return dataclasses.replace(found, kernel=kernel)
    return Report(kernel=kernel, problem="\n".join(console.splitlines()[-20:]) or "the machine said nothing")
