"""Records of people, day by day, and who is one person by the rules: identity worked out again, record by
record, with a graph library."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

MAX_RECORDS = {"email": 20, "phone": 20, "device_id": 5}
WITH_FIRST_NAME = ("phone", "device_id")
PRIORITY = {"email": 3, "phone": 4, "device_id": 5, "link": 6}
MIN_PROBABILITY = 0.95


@dataclass(frozen=True)
class Record:
    """One record of a source (``crm|1``, ``shop|1``; ``order|<email>`` is an order of a guest), its
    identifiers in their normal form."""

    record_id: str
    email: str = ""
    phone: str = ""
    device_id: str = ""
    first_name: str = ""
    created_at: str = ""

    @property
    def source(self) -> str:
        return self.record_id.partition("|")[0]

    @property
    def source_id(self) -> str:
        return self.record_id.partition("|")[2]

    @property
    def age(self) -> tuple[bool, str, str]:
        """Sorts by age, the oldest first."""
        return (not self.created_at, self.created_at, self.record_id)

    @property
    def identifiers(self) -> dict[str, str]:
        """Those that join; a source's own id joins nothing."""
        found = {"email": self.email, "phone": self.phone, "device_id": self.device_id}
        return {namespace: value.strip() for namespace, value in found.items() if value.strip()}


@dataclass
class Day:
    """What the sources hold on one day, and, once it is built, what identity made of it."""

    records: dict[str, Record] = field(default_factory=dict)
    links: dict[tuple[str, str], float] = field(default_factory=dict)
    profile_of: dict[str, str] = field(default_factory=dict)
    affected: frozenset[str] = frozenset()
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    """Of each report, by its name."""

    def add(self, *records: Record) -> None:
        self.records |= {record.record_id: record for record in records}

    def people(self) -> set[frozenset[str]]:
        """What was made of it: the records of each person."""
        found: dict[str, set[str]] = defaultdict(set)
        for record_id, profile_id in self.profile_of.items():
            found[profile_id].add(record_id)
        return {frozenset(members) for members in found.values()}


class Reference:
    """Who is one person by the rules, on one day."""

    def __init__(self, day: Day) -> None:
        self._known = day.records
        self._keys = self._match_keys(day)

    def components(self) -> list[frozenset[str]]:
        """What hangs together over keys, before a person's limits."""
        graph = nx.Graph()
        graph.add_nodes_from((record_id, "") for record_id in self._keys)
        graph.add_edges_from(
            ((record_id, ""), ("", key)) for record_id, keys in self._keys.items() for key in keys
        )
        return [
            frozenset(record_id for record_id, _ in component if record_id)
            for component in nx.connected_components(graph)
        ]

    def people(self) -> set[frozenset[str]]:
        return {person for component in self.components() for person in self._cut(component)}

    def _match_keys(self, day: Day) -> dict[str, dict[str, int]]:
        """Of each record that is somebody's: match key → priority."""
        counts = Counter(pair for record in self._known.values() for pair in record.identifiers.items())
        keys: dict[str, dict[str, int]] = {}
        for record in self._known.values():
            own = {
                namespace: value
                for namespace, value in record.identifiers.items()
                if counts[namespace, value] <= MAX_RECORDS[namespace]
            }
            if record.source == "order" and not own:
                continue
            keys[record.record_id] = {
                f"{namespace}|{value}|{record.first_name if namespace in WITH_FIRST_NAME else ''}": PRIORITY[
                    namespace
                ]
                for namespace, value in own.items()
                if record.first_name or namespace not in WITH_FIRST_NAME
            }
        for (left, right), probability in day.links.items():
            if probability >= MIN_PROBABILITY and left in keys and right in keys:
                for record_id in (left, right):
                    keys[record_id]["link|" + "|".join(sorted((left, right)))] = PRIORITY["link"]
        return keys

    def _cut(self, component: frozenset[str]) -> Iterator[frozenset[str]]:
        """One person, or one per CRM id with whoever is nearest to it."""
        by_age = sorted((self._known[record_id] for record_id in component), key=lambda record: record.age)
        label = {record.record_id: age for age, record in enumerate(by_age) if record.source == "crm"}
        if len(label) < 2:
            yield component
            return
        holders: dict[str, list[str]] = defaultdict(list)
        for record_id in component:
            for key in self._keys[record_id]:
                holders[key].append(record_id)
        while len(label) < len(component):
            offers = {
                key: min(label[holder] for holder in held if holder in label)
                for key, held in holders.items()
                if not label.keys().isdisjoint(held)
            }
            reached = {
                record_id: min(
                    (rank, offers[key]) for key, rank in self._keys[record_id].items() if key in offers
                )
                for record_id in component - label.keys()
                if not offers.keys().isdisjoint(self._keys[record_id])
            }
            label |= {record_id: seed for record_id, (_, seed) in reached.items()}
        parts: dict[int, set[str]] = defaultdict(set)
        for record_id, seed in label.items():
            parts[seed].add(record_id)
        yield from map(frozenset, parts.values())
