"""Random journeys, and what happens to the people in them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from kundresa.journeys import JUMP
from kundresa.spec.journey import Journey, ReactionExit
from kundresa.spec.journey_graph import graph_problems, step_ways
from kundresa.spec.yaml_source import SpecSource

PEOPLE = ("anna", "bo", "eva")
PROFILES = {"anna": {"tier": 1}, "bo": {"tier": 2}}
SEGMENTS = {"anna": {"vip"}}
CHANNEL = {"kind": "email", "template": "a", "account": "b", "sender": "a@shop.example"}
OFFERED = {"event": {"offer": {"at_least": 2}}}
RESPONSE = {"offer": {"kind": "whole", "required": True}, "note": {"kind": "text"}}
ANSWERS: dict[str, dict[str, Any]] = {
    "much": {"answer": {"offer": 2, "note": "x", "not_declared": 1}},
    "little": {"answer": {"offer": 1}},
    "nothing": {"answer": {"not_declared": 1}},
    "refused": {"reason": "message_refused"},
    "given_up": {"reason": "temporary_failure"},
}
"""What another system answers, or why it does not."""
BLOCKS = (
    *(("wait",), ("wait_for",), ("condition",), ("split",), ("message",), ("wait_until",), ("moment",)),
    *(("experiment", "message"), ("jump", "wait"), ("update",), ("wait", "end")),
    *(("message", "reaction"), ("message", "wait", "reaction"), ("message", "reaction", "wait")),
    *(("webhook",), ("webhook", "offered", "wait")),
)
"""Steps that come one below the other."""
WAITING = ("wait", "wait_for", "wait_until")
"""Between coming to these and leaving them time passes."""


def _step(kinds: list[str], number: int) -> st.SearchStrategy[dict[str, Any]]:
    """One step among those of a journey. Back it leads from those that wait, and to those: a loop waits."""
    made, just = st.fixed_dictionaries, st.just
    kind = kinds[number]
    places = range(len(kinds))
    names = [f"s{at}" for at in places if kind in WAITING or kinds[at] in WAITING or at > number]
    messages = [f"s{at}" for at in places if kinds[at] == "message"]
    anywhere = st.sampled_from([*names[::-1], "end"])
    duration = st.sampled_from(["1m", "10m", "1h"])
    onward = {"next": st.sampled_from([None, None, None, *names, "end"])}
    when = st.sampled_from(
        [
            {"event": {"value": 1}},
            {"profile": {"tier": {"at_least": 2}}},
            {"in_segment": ["vip"]},
            {"profile": {"level": {"is_set": True}}},
            OFFERED,
        ]
    )
    share = made({"weight": st.integers(1, 3), "go": anywhere})
    shares = st.tuples(share, share).map(
        lambda two: [{**each, "name": f"v{number}"} for number, each in enumerate(two)]
    )
    within = {"within": duration, "timeout": anywhere, **onward}
    found = {
        "wait": {"duration": duration, **onward},
        "wait_for": {
            "event": st.sampled_from(["order", "cart"]),
            "where": st.none() | just({"event": {"value": 1}}),
            "keep": st.sampled_from([["value"], ["value", "key"], []]),
            **within,
        },
        "reaction": {
            "kind": just("wait_for"),
            "reaction": st.sampled_from(["clicked", "clicked", "delivered", "unsubscribed"]),
            "to": st.sampled_from(messages or [""]),
            **within,
        },
        "condition": {
            "paths": st.lists(made({"when": when, "go": anywhere}), min_size=1, max_size=2),
            "otherwise": anywhere,
        },
        "offered": {
            "kind": just("condition"),
            "paths": made({"when": just(OFFERED), "go": anywhere}).map(lambda path: [path]),
            "otherwise": anywhere,
        },
        "split": {"shares": shares},
        "experiment": {"name": just("e"), "variants": shares},
        "message": {
            "channel": just(CHANNEL),
            "on": st.dictionaries(
                st.sampled_from(["sent", "delayed", "not_sent", "consent_denied"]), anywhere, max_size=2
            ),
            **onward,
        },
        "webhook": {
            "account": just("prices"),
            "template": just("ask"),
            "response": just(RESPONSE),
            "on": st.dictionaries(
                st.sampled_from(["answered", "failed", "answer_invalid", "message_refused"]),
                anywhere,
                max_size=2,
            ),
            **onward,
        },
        "wait_until": {"at": st.sampled_from(["09:05", "10:00"]), "time_zone": just("UTC"), **onward},
        "moment": {
            "kind": just("wait_until"),
            "event": just("value"),
            "missing": st.none() | anywhere,
        },
        "jump": {"journey": just("other"), **onward},
        "update": {"trait": just("level"), "event": st.sampled_from(["value", "offer"]), **onward},
        "end": {},
    }
    return made({"kind": just(kind), **found[kind]})


@st.composite
def journeys(draw: st.DrawFn, entries: tuple[dict[str, Any], ...] = ({"event": "cart"},)) -> Journey:
    """A journey without what its check would refuse."""
    entry = draw(st.sampled_from(entries))
    blocks = draw(st.lists(st.sampled_from(BLOCKS), min_size=2, max_size=4))
    kinds = [kind for block in blocks for kind in block][:6]
    values = {
        "name": "cart",
        "owner": "team",
        "description": "random",
        "entry": entry,
        "topic": "offers",
        "reentrance": draw(st.sampled_from(["never", "always", "30m"])),
        "instance_key": draw(st.sampled_from([None, "key"])) if "event" in entry else None,
        "max_instances": draw(st.sampled_from([1, 2, 10])),
        "exit": draw(st.sampled_from(EXITS)),
        "time_out": draw(st.sampled_from(["91d", "91d", "90m", "10m"])),
        "lateness": draw(st.sampled_from(["0s", "5m"])),
        "steps": {f"s{number}": draw(_step(kinds, number)) for number in range(len(kinds))},
    }
    journey = Journey.model_validate(values)
    ways, reached, waiting = step_ways(journey), set(), [journey.first]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(ways[name])
    # What is reached falls through to what is reached: without the rest everybody goes the same way.
    steps = {name: step for name, step in journey.steps.items() if name in reached}
    messages = [name for name, step in steps.items() if step.kind == "message"]
    for name, step in steps.items():
        if step.kind == "wait_for" and step.to is not None and step.to not in messages:
            other = {"to": messages[0]} if messages else {"to": None, "reaction": None, "event": "order"}
            steps[name] = step.model_copy(update=other)
    exits = (
        journey.exit if messages else [each for each in journey.exit if not isinstance(each, ReactionExit)]
    )
    journey = journey.model_copy(update={"steps": steps, "exit": tuple(exits)})
    assert graph_problems(journey, SpecSource("x")) == []
    return journey


ENTRIES = (
    *({"event": "cart"}, {"event": "cart"}, {"event": "order"}),
    {"event": "cart", "where": {"event": {"value": {"at_least": 1}}}},
    {"event": "cart", "where": {"profile": {"level": {"is_set": True}}}},
    *({"segment": "crowd"}, {"segment": "crowd", "change": "left"}),
    {"segment": "crowd", "where": {"not_in_segment": ["bought"]}},
)
EXITS: tuple[list[dict[str, Any]], ...] = (
    [],
    [{"event": "order", "where": {"event": {"value": 2}}}],
    [{"segment": "bought"}],
    [{"reaction": "unsubscribed"}],
    [{"reaction": "clicked"}],
)
lags = st.integers(0, 7)
"""Minutes between happening and arriving."""
happening = st.tuples(
    st.just("event"),
    st.sampled_from(PEOPLE),
    st.sampled_from(["cart", "cart", "order"]),
    lags,
    st.fixed_dictionaries({"value": st.integers(0, 2), "key": st.sampled_from(["x", "y"])}),
)
keyless = st.tuples(
    *(st.just("event"), st.sampled_from(PEOPLE), st.just("cart"), lags),
    st.sampled_from([{"value": 1}, {"value": 2, "key": "z"}]),
)
"""Some name no instance."""
jumping = st.tuples(
    *(st.just("event"), st.sampled_from(PEOPLE), st.just(JUMP + "cart"), lags),
    st.sampled_from([{"value": 1}, {"value": 2, "key": "x"}, {"value": 0, "key": "z"}]),
)
"""From another journey, which may know of no instances."""
again = st.tuples(st.just("again"), st.integers(0, 5))
"""An event is told again."""
reacting = st.tuples(
    st.just("react"),
    st.sampled_from(PEOPLE),
    st.integers(0, 3),  # to which of their messages
    st.sampled_from(["clicked", "clicked", "delivered"]),
    lags,
)
unmasking = st.tuples(st.just("unmask"), st.sampled_from(PEOPLE))
"""The clicks of a person that nobody has heard of turn out to be a scanner's."""
asking = st.tuples(st.just("call"), st.sampled_from([*ANSWERS, "much", "much", "later"]), st.integers(0, 3))
"""Calls are made: what is answered, or that nothing is for now, and how many minutes ago that was."""
late_answer = st.tuples(st.just("answer"), st.sampled_from([*ANSWERS, "much"]), st.integers(0, 3))
"""What the calls of before are answered, to whoever made them last."""
changing = st.tuples(
    *(st.just("change"), st.sampled_from(PEOPLE), st.sampled_from(["crowd", "crowd", "bought"])),
    *(st.sampled_from(["", "", "x", "y"]), lags),
)
"""Into a segment, or out of it: with whatever entity it is for, seen by a build of so many minutes ago."""
ruling = st.tuples(
    st.sampled_from(["held", "held", "discarding", "discarding", "start"]),
    st.integers(0, 5),  # in which round it begins
    st.integers(0, 3),  # how many rounds later it goes on
    st.integers(0, 2),  # on which version
)
"""A pause, and going on after it; or another version while people are inside."""


def settling(minutes: list[int | None]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """How many minutes ago outcomes were; None leaves them open."""
    return st.sampled_from(minutes).map(lambda ago: [] if ago is None else [("settle", ago)])


def rounds(
    minutes: list[int],
    first: st.SearchStrategy[list[tuple[Any, ...]]],
    actions: st.SearchStrategy[tuple[Any, ...]],
    most: int = 4,
    least: int = 0,
) -> st.SearchStrategy[Any]:
    """Minutes pass, things happen, and an advance takes them."""
    then = st.tuples(first, st.lists(actions, min_size=least, max_size=most)).map(lambda two: two[0] + two[1])
    return st.tuples(st.sampled_from(minutes), then)


streams = st.lists(
    rounds(
        *([0, 1, 9, 10, 61], settling([None, 0, 1, 10])),
        st.one_of(happening, happening, reacting, asking, unmasking),
    ),
    min_size=1,
    max_size=6,
)


@st.composite
def ruled_streams(draw: st.DrawFn) -> list[Any]:
    """Those, with pauses and other versions, and perhaps a stop."""
    found = [(minutes, [*some]) for minutes, some in draw(streams)]
    _rule(found, draw(st.lists(ruling, max_size=2)), [])
    if draw(st.sampled_from([False, False, False, True])):
        found[-1][1].append(("stop",))
    return found


def _rule(found: list[Any], rulings: list[Any], afterwards: list[Any]) -> None:
    """Put pauses, and versions that are started, among what happens; ``afterwards`` after each pause."""
    for state, begins, lasts, number in rulings:
        _, some = found[begins % len(found)]
        some.append(("start", number) if state == "start" else ("pause", state))
        if begins + lasts + 1 < len(found) and state != "start":
            some.extend(afterwards)
            found[begins + lasts + 1][1].extend([("start", number), ("settle", 0)])


telling_much = st.one_of(
    *(happening, happening, keyless, reacting, reacting, reacting, asking, asking),
    *(late_answer, changing, changing, jumping, again, unmasking),
)


@st.composite
def full_streams(draw: st.DrawFn) -> list[Any]:
    """Whatever may happen: somebody enters at once, and some rounds later all of it may be stopped."""
    value, key = st.integers(0, 2), st.sampled_from(["x", "y"])
    data = st.fixed_dictionaries({"value": value, "key": key})
    first = [("event", who, "cart", 0, draw(data)) for who in PEOPLE[:2]]
    first += [("change", who, "crowd", "", 0) for who in PEOPLE[1:]]
    clicks = [("react", who, 0, "clicked", 0) for who in PEOPLE]
    clicks += [("react", who, 0, "unsubscribed", 0) for who in PEOPLE[1:]]
    one = rounds([0, 1, 1, 9, 10, 61], settling([None, 0, 0, 0, 1, 10]), telling_much, most=5, least=1)
    found: list[Any] = [(0, first), *draw(st.lists(one, min_size=4, max_size=8))]
    _rule(found, draw(st.lists(ruling, max_size=2)), clicks)
    for begins, answer in draw(
        st.lists(st.tuples(st.integers(1, 3), st.sampled_from([*ANSWERS])), max_size=2)
    ):
        # What is reached at first becomes known, and everybody does something about it.
        # Some of them are scanners.
        found[begins][1][:0] = [("settle", 0), ("call", answer, 0)]
        unmasked = draw(st.sampled_from([(), PEOPLE[:1], PEOPLE[:2], PEOPLE]))
        found[begins + 1][1].extend([*clicks, *(("unmask", who) for who in unmasked)])
    if draw(st.sampled_from([False, False, False, True])):
        found[-2][1].append(("stop",))
        found[-1][1].append(("start", 1))
    return found


clicking = st.tuples(
    *(st.just("react"), st.sampled_from(PEOPLE), st.just(0), st.just("clicked"), st.integers(0, 1))
)
late_streams = st.lists(
    rounds([1, 2, 9], settling([None, None, 2, 10]), st.one_of(happening, clicking, unmasking), least=2),
    min_size=6,
    max_size=12,
)
