"""The pages of recipients: opting out (``/u``) and preferences (``/p``). A GET shows, a POST changes.

One click (RFC 8058): a mail client that posts ``List-Unsubscribe=One-Click`` to the link has opted its
person out when it gets the 200; no page, no cookie and no redirect in between. Opening the link changes
nothing: scanners open every link of a mail.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kundresa.content import Token, TokenError
from kundresa.public.choices import (
    EVERY_TOPIC,
    Choice,
    changes,
    channels_of,
    choices_of,
    declared_channels,
    label_of,
    topics_of,
)
from kundresa.public.languages import CATALOGUE, choose_language
from kundresa.public.pages import page
from kundresa.public.refusals import Refused, content_type, read_body
from kundresa.public.service import Service
from kundresa.public.undo import read_undo, sign_undo
from kundresa.runs.messages import find_message
from kundresa.spec.vocabulary import FeedbackKind
from kundresa.store import Answer, NewFeedback
from kundresa.warehouse import Person

MOST_FORM_BYTES = 64_000
FORM_SECONDS = 10.0
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class Recipients:
    """Answers ``/u/{token}`` and ``/p/{token}``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route("/u/{token}", self._show_unsubscribe, methods=["GET"]),
            Route("/u/{token}", self._unsubscribe, methods=["POST"]),
            Route("/p/{token}", self._show_preferences, methods=["GET"]),
            Route("/p/{token}", self._save_preferences, methods=["POST"]),
        ]

    def _show_unsubscribe(self, request: Request) -> Response:
        visit = self._visit(request, self._service.links.read_token)
        denied = {choice.topic: choice for choice in visit.choices() if choice.channel == visit.token.channel}
        everything = visit.answers()[visit.token.channel].get(EVERY_TOPIC)
        if everything is not None and denied[visit.token.topic].is_denied and everything.status == "no":
            return visit.unsubscribed(EVERY_TOPIC, everything.recorded_at)
        named = visit.answers()[visit.token.channel].get(visit.token.topic)
        if named is not None and named.status == "no" and denied[visit.token.topic].is_denied:
            return visit.unsubscribed(visit.token.topic, named.recorded_at)
        return visit.page("unsubscribe.html", topic=visit.label(visit.token.topic), channel=visit.channel())

    async def _unsubscribe(self, request: Request) -> Response:
        visit = await run_in_threadpool(self._visit, request, self._service.links.read_token)
        form = await _form(request)
        if form.get("List-Unsubscribe") == "One-Click":
            return await run_in_threadpool(visit.say_no, visit.token.topic, "one_click")
        if form.get("choice") == "topic":
            return await run_in_threadpool(visit.say_no, visit.token.topic, "unsubscribe_page")
        if form.get("choice") == "everything":
            return await run_in_threadpool(visit.say_no, EVERY_TOPIC, "unsubscribe_page")
        undo = form.get("undo")
        if isinstance(undo, str):
            return await run_in_threadpool(visit.undo, undo)
        raise Refused(HTTPStatus.BAD_REQUEST, "the form says nothing that this page asks")

    def _show_preferences(self, request: Request) -> Response:
        return self._visit(request, self._service.links.read_preferences).preferences(None)

    async def _save_preferences(self, request: Request) -> Response:
        visit = await run_in_threadpool(self._visit, request, self._service.links.read_preferences)
        form = await _form(request)
        if form.get("save") == "nothing":
            return await run_in_threadpool(visit.stop_everything)
        if form.get("save") == "choices":
            shown = {each for each in form.getlist("shown") if isinstance(each, str)}
            ticked = {each for each in form.getlist("yes") if isinstance(each, str)}
            return await run_in_threadpool(visit.save, shown, ticked)
        raise Refused(HTTPStatus.BAD_REQUEST, "the form says nothing that this page asks")

    def _visit(self, request: Request, read: object) -> Visit:
        try:
            token = read(request.path_params["token"])  # type: ignore[operator]
        except TokenError as error:
            # The same answer whatever is wrong with it: nothing is learnt by trying.
            raise Refused(HTTPStatus.NOT_FOUND, str(error)) from None
        person = self._service.people.person(token.profile_id)
        accepted = request.headers.get("accept-language", "")
        language = choose_language(person.language if person else None, accepted)
        return Visit(self._service, token, person, language)


class Visit:
    """One request of one person, who came by a link of one message."""

    def __init__(self, service: Service, token: Token, person: Person | None, language: str) -> None:
        self._service = service
        self._person = person
        self._language = language
        self.token = token
        self._known_as = service.people.ids_of(token.profile_id)

    def label(self, topic: str) -> str:
        return label_of(self._service.policies, topic, self._language)

    def channel(self) -> str:
        texts = CATALOGUE[self._language]
        return texts.get(self.token.channel, self.token.channel)

    def answers(self) -> Mapping[str, Mapping[str, Answer]]:
        """What was said on our own pages under any id of the person, on the channels that are asked about."""
        channels = {*channels_of(self._person, self.token.channel), self.token.channel}
        channels |= declared_channels(self._service.policies)
        return {
            channel: self._service.store.answers.last(
                profile_id=self.token.profile_id, known_as=self._known_as, channel=channel
            )
            for channel in channels
        }

    def choices(self) -> list[Choice]:
        return choices_of(
            self._service.policies,
            self._person,
            self.answers(),
            channel=self.token.channel,
            topic=self.token.topic,
        )

    def say_no(self, topic: str, source: str) -> Response:
        return self.unsubscribed(topic, self._record_no(self.token.channel, topic, source))

    def undo(self, text: str) -> Response:
        """Take the no of this message's page back, as a new yes; nothing, when it was said again since."""
        try:
            token, topic, no = read_undo(self._service.links.secret, text, now=self._service.clock())
        except TokenError:
            return self.preferences("undo_late")
        if token != self.token:
            return self.preferences("undo_late")
        topics = [topic] if topic != EVERY_TOPIC else self._declined_with_everything()
        is_taken_back = self._service.store.answers.say_yes(
            profile_id=self.token.profile_id,
            known_as=self._known_as,
            channel=self.token.channel,
            address=self._address(self.token.channel),
            topics=topics,
            source="undo",
            at=self._service.clock(),
            undoes=(topic, no),
        )
        if not is_taken_back:
            return self.preferences("undo_late")
        labels = ", ".join(self.label(each) for each in topics)
        return self.page("undone.html", topics=labels, channel=self.channel())

    def preferences(self, notice: str | None) -> Response:
        choices = self.choices()
        topics = topics_of(self._service.policies, self._person, self.token.topic)
        shown = [(self.label(topic), [each for each in choices if each.topic == topic]) for topic in topics]
        return self.page("preferences.html", topics=shown, notice=notice)

    def save(self, shown: set[str], ticked: set[str]) -> Response:
        to_yes, to_no = changes(self.choices(), shown=shown, ticked=ticked)
        for choice in to_no:
            self._record_no(choice.channel, choice.topic, "preference_centre")
        for choice in to_yes:
            self._service.store.answers.say_yes(
                profile_id=self.token.profile_id,
                known_as=self._known_as,
                channel=choice.channel,
                address=self._address(choice.channel),
                topics=[choice.topic],
                source="preference_centre",
                at=self._service.clock(),
            )
        return self.preferences("saved" if to_yes or to_no else "unchanged")

    def stop_everything(self) -> Response:
        for channel in self.answers():
            self._record_no(channel, EVERY_TOPIC, "preference_centre")
        return self.preferences("stopped_all")

    def unsubscribed(self, topic: str, said_at: datetime) -> Response:
        """The page that says what holds now."""
        is_everything = topic == EVERY_TOPIC
        texts = CATALOGUE[self._language]
        holds = texts["holds_everything" if is_everything else "holds_topic"]
        return self.page(
            "unsubscribed.html",
            holds=holds.format(topic="" if is_everything else self.label(topic), channel=self.channel()),
            is_everything=is_everything,
            channel=self.channel(),
            undo=sign_undo(self._service.links.secret, self.token, topic, said_at),
        )

    def page(self, template: str, **values: Any) -> Response:
        return page(
            template,
            self._language,
            brand=self._service.settings.public_name,
            preferences_url=self._service.links.preferences_url(self.token),
            **values,
        )

    def _record_no(self, channel: str, topic: str, source: str) -> datetime:
        now = self._service.clock()
        address = self._address(channel)
        is_messages_own = channel == self.token.channel
        feedback = NewFeedback(
            feedback_key=f"unsubscribed/{self.token.message_id}/{topic}",
            kind=FeedbackKind.UNSUBSCRIBED,
            channel=channel,
            provider="link",
            occurred_at=now,
            received_at=now,
            message_id=self.token.message_id,
            profile_id=self.token.profile_id,
            address=address,
            detail=source,
        )
        return self._service.store.answers.say_no(
            profile_id=self.token.profile_id,
            known_as=self._known_as,
            channel=channel,
            address=address,
            topic=topic,
            source=source,
            at=now,
            feedback=feedback if is_messages_own else None,
        )

    def _declined_with_everything(self) -> list[str]:
        """What a no to everything had taken along: all that needs consent and was not declined by name."""
        by_name = self.answers()[self.token.channel]
        return [
            choice.topic
            for choice in self.choices()
            if choice.channel == self.token.channel
            and not choice.is_exempt
            and not (choice.topic in by_name and by_name[choice.topic].status == "no")
            and (self._person is None or self._consent(choice.topic) != "no")
        ]

    def _consent(self, topic: str) -> str | None:
        consents = self._person.consents if self._person else {}
        return consents.get((self.token.channel, topic), (None,))[0]

    def _address(self, channel: str) -> str:
        """Where the message went, so that the no holds for the address too, whoever has it next; else the
        address that is published; empty when neither is known. The profile is named in any case."""
        if channel == self.token.channel:
            sent = find_message(self._service.settings, self._service.store, self.token.message_id)
            if sent is not None:
                return str(sent["address"])
        return self._person.addresses.get(channel, "") if self._person else ""


async def _form(request: Request) -> FormData:
    """The form of a request.

    Raises:
        Refused: when it is none, too large, too slow or broken.
    """
    if content_type(request) not in FORM_TYPES:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"this takes {' or '.join(FORM_TYPES)}")
    # Read whole, with its limits, before the parser sees it.
    request._body = await read_body(request, most=MOST_FORM_BYTES, seconds=FORM_SECONDS)
    try:
        return await request.form(max_files=0, max_fields=500)
    except (MultiPartException, UnicodeError, ValueError):
        raise Refused(HTTPStatus.BAD_REQUEST, "the form cannot be read") from None
