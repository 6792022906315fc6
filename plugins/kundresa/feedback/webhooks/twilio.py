"""``twilio``: status callbacks of text messages, and what people answer to them.

``X-Twilio-Signature`` is the base64 HMAC-SHA-1 of the URL and the sorted parameters, keyed by the account's
auth token.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from kundresa.feedback.replies import Reply
from kundresa.feedback.webhooks.fields import MAX_CODE, printable
from kundresa.feedback.webhooks.reports import Call, NotBelieved, NotUnderstood, Report, Told, believe
from kundresa.spec.bounces import TWILIO_CODES
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

MAX_FIELDS = 200
"""Of one form; Twilio sends some 30, and a few for each picture."""


@dataclass(frozen=True, slots=True)
class TwilioStatus:
    """Status callbacks (Twilio, "Track the Message Status of Outbound Messages"; security as in "Validating
    Signatures"): form fields MessageSid, MessageStatus, ErrorCode. Messages that come in ("Twilio's Request
    to your Webhook URL"): MessageSid, From, Body, OptOutType."""

    secret: str = field(repr=False)

    def read(self, call: Call) -> Told:
        try:
            text = call.body.decode("utf-8", "replace")
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            raise NotBelieved(f"a form has {MAX_FIELDS} fields at most") from None
        signed = call.url + "".join(name + value for name, value in sorted(set(pairs)))
        digest = hmac.digest(self.secret.encode(), signed.encode(), "sha1")
        believe(base64.b64encode(digest).decode(), call.headers.get("x-twilio-signature", ""))
        values = dict(pairs)
        sid, status = values.get("MessageSid", ""), values.get("MessageStatus", "").lower()
        if sid and sid.isprintable() and not status and "Body" in values and values.get("From"):
            # What comes over WhatsApp and the like is no text message.
            is_text = ":" not in values["From"]
            reply = Reply(sid, values["From"], values["Body"], is_no=values.get("OptOutType") == "STOP")
            return Told(replies=[reply] if is_text else [], skipped=not is_text, answer=_NO_ANSWER)
        if not sid or not status or not f"{sid}{status}".isprintable():
            raise NotUnderstood("MessageSid and MessageStatus are needed, or MessageSid, From and Body")
        code = printable(values.get("ErrorCode", ""))[:MAX_CODE] or None
        if status == "delivered":
            return Told([Report(f"{sid}/{status}", FeedbackKind.DELIVERED, "sms", provider_id=sid)])
        if status in ("undelivered", "failed"):
            bounced = TWILIO_CODES.get(code or "", BounceClass.UNDETERMINED)
            report = Report(
                f"{sid}/{status}",
                FeedbackKind.BOUNCED,
                "sms",
                provider_id=sid,
                bounce_class=bounced,
                code=code,
            )
            return Told([report])
        return Told(skipped=1)  # accepted, queued, sending, sent: nothing that the ledger does not know


_NO_ANSWER = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
"""TwiML: nothing is texted back."""
