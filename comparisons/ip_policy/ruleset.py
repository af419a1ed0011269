"""nftables as values: tables, sets, chains; the whole as one transaction, and the way from one to another as one.

Here so that what is put into the kernel is computed before anything is touched: ``difference`` is what pod churn costs,
a few elements. Leaves out what the rules mean (``compiler``) and running them (``kernel``).
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A set, or a map if its elements have values."""

    type: str
    """``ipv4_addr``; of a map ``ipv4_addr : verdict``."""
    elements: Mapping[str, str]
    """Key -> value, which is empty in a set."""

    @property
    def word(self) -> str:
        """``set`` or ``map``."""
        return "map" if ":" in self.type else "set"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain. ``hook`` is empty for one that is jumped to."""

    rules: tuple[str, ...]
    hook: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table."""

    family: str
    name: str
    counters: tuple[str, ...]
    sets: Mapping[str, Set]
    chains: Mapping[str, Chain]

    @property
    def title(self) -> str:
        """As commands name it."""
        return f"{self.family} {self.name}"


Ruleset = tuple[Table, ...]
NOTHING: Ruleset = ()


def whole(ruleset: Ruleset) -> str:
    """Write the transaction after which these tables are exactly so, whatever they were."""
    lines: list[str] = []
    for table in ruleset:
        lines += [f"add table {table.title}", f"delete table {table.title}", *_made(table)]
    return "\n".join(lines) + "\n"


def removal(titles: Iterable[str]) -> str:
    """Write the transaction after which there are no such tables, whether there were or not."""
    return "".join(f"add table {title}\ndelete table {title}\n" for title in titles)


def difference(old: Ruleset, new: Ruleset) -> str:
    """Write the transaction that leads from one to the other; empty if nothing differs.

    Both must have the same tables with the same counters and hooks: what else changes is a reason to load the whole.
    """
    lines = [line for before, after in zip(old, new, strict=True) for line in _changed(before, after)]
    return "\n".join(lines) + "\n" if lines else ""


def alike(old: Ruleset, new: Ruleset) -> bool:
    """Whether ``difference`` can lead from one to the other."""
    return [_frame(table) for table in old] == [_frame(table) for table in new]


def _frame(table: Table) -> tuple[str, tuple[str, ...], dict[str, str]]:
    return table.title, table.counters, {name: chain.hook for name, chain in table.chains.items() if chain.hook}


def _made(table: Table) -> Iterator[str]:
    """Write a table from nothing: names first, since rules and elements may name each other."""
    yield f"add table {table.title}"
    for name in table.counters:
        yield f"add counter {table.title} {name}"
    for name, each in table.sets.items():
        yield _declared(table, name, each)
    for name, chain in table.chains.items():
        yield f"add chain {table.title} {name}{chain.hook and f' {{ {chain.hook} }}'}"
    for name, chain in table.chains.items():
        yield from _filled(table, name, chain)
    for name, each in table.sets.items():
        yield from _elements(table, name, "add", each.elements)


def _changed(old: Table, new: Table) -> Iterator[str]:
    """Names first; then rules; then elements, which may name chains; last what nothing names any more."""
    for name in new.sets.keys() - old.sets.keys():
        yield _declared(new, name, new.sets[name])
    for name in new.chains.keys() - old.chains.keys():
        yield f"add chain {new.title} {name}"
    for name, chain in new.chains.items():
        before = old.chains.get(name)
        if before != chain:
            yield from [f"flush chain {new.title} {name}"] if before is not None else []
            yield from _filled(new, name, chain)
    for name, each in new.sets.items():
        yield from _turned(new, name, old.sets.get(name), each)
    gone = sorted(old.chains.keys() - new.chains.keys())
    yield from (f"flush chain {new.title} {name}" for name in gone)
    yield from (f"delete chain {new.title} {name}" for name in gone)
    for name in sorted(old.sets.keys() - new.sets.keys()):
        yield f"delete {old.sets[name].word} {new.title} {name}"


def _turned(table: Table, name: str, old: Set | None, new: Set) -> Iterator[str]:
    before = {} if old is None else old.elements
    changed = {key: value for key, value in new.elements.items() if before.get(key) != value}
    gone = {key: "" for key, value in before.items() if new.elements.get(key) != value}
    yield from _elements(table, name, "delete", gone)
    yield from _elements(table, name, "add", changed)


def _declared(table: Table, name: str, it: Set) -> str:
    return f"add {it.word} {table.title} {name} {{ type {it.type}; }}"


def _filled(table: Table, name: str, chain: Chain) -> Iterator[str]:
    for rule in chain.rules:
        yield f"add rule {table.title} {name} {rule}"


def _elements(table: Table, name: str, verb: str, found: Mapping[str, str]) -> Iterator[str]:
    if found:
        listed = ", ".join(f"{key} : {value}" if value else key for key, value in sorted(found.items()))
        yield f"{verb} element {table.title} {name} {{ {listed} }}"
