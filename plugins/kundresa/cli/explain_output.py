"""How one line of the account is told to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kundresa.cli.output import table

if TYPE_CHECKING:
    from kundresa.runs.explained import Explanation
    from kundresa.store import CameBack

_WORDS = {"passed": "pass", "failed": "FAIL", "not_asked": "not asked"}


def print_explanation(line: Explanation) -> None:
    """One table: how the person came in, every rule in its order, and what became of the message."""
    title = f"{line.run_key} · {line.channel}: {line.outcome}" + (f", {line.reason}" if line.reason else "")
    by = [f"came to step {line.step}"] if line.step else []
    by += [f"in {each['segment']} since {each['since']:%Y-%m-%d %H:%M}Z" for each in line.considered_by]
    rows: list[tuple[object, ...]] = [
        ("considered", f"{line.decided_at:%Y-%m-%d %H:%M}Z", "; ".join(by)),
    ]
    rows += [
        (rule.rule, _WORDS[rule.result] + (", the reason" if rule.decided else ""), rule.value)
        for rule in line.rules
    ]
    if line.variant:
        instead = f"the champion, in place of {line.decided_variant}"
        rows.append(("variant", line.variant, instead if line.variant != line.decided_variant else ""))
    if line.batch_number is not None:
        local = f", {line.send_at_local} by their clock" if line.send_at_local else ""
        rows.append(
            ("leaves", f"batch {line.batch_number}", f"from {line.send_at:%Y-%m-%d %H:%M}Z on{local}")
        )
    if line.delivery:
        sent = line.delivery
        rows.append(("delivery", sent["state"], sent["provider_id"] or sent["detail"] or sent["code"] or ""))
    rows += [_came_back(each) for each in line.came_back]
    table(title, ("rule", "result", "what it looked at"), rows)


def _came_back(told: CameBack) -> tuple[str, str, str]:
    """What came back, of which kind, and when, in which words, by whom."""
    kind = str(told.bounce_class or (f"a machine: {told.automation}" if told.automation else ""))
    words = [each for each in (told.code, told.detail, told.target) if each]
    told_by = f"{told.occurred_at:%Y-%m-%d %H:%M}Z by {told.provider}"
    return str(told.kind), kind, ": ".join([told_by, *filter(None, [" ".join(words)])])
