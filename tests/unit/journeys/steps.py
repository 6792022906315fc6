"""Steps that several modules walk."""

from __future__ import annotations

from datetime import timedelta

CHANNEL = "{kind: email, template: a, account: b, sender: a@shop.example}"
MESSAGE = f"""
say: {{kind: message, channel: {CHANNEL}, on: {{not_sent: other, consent_denied: end}}}}
done: {{kind: wait, duration: 1h, next: end}}
other: {{kind: wait, duration: 1h, next: end}}
"""
SECOND = timedelta(seconds=1)
WAIT_FOR = """
bought: {kind: wait_for, event: order, where: {event: {value: {at_least: 10}}}, within: 1h, timeout: late}
thanks: {kind: wait, duration: 1d, next: end}
late: {kind: wait, duration: 1d}
"""
