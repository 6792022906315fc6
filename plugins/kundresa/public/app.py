"""The service's application: routes, what they share, and what every answer carries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kundresa import settings as configuration
from kundresa.content import Links
from kundresa.feedback import RawHit, record_hits
from kundresa.feedback.webhooks import Fetch, accounts_of, fetch, parse_webhooks
from kundresa.public.audiences import Audiences
from kundresa.public.events import Arrival, EventIntake, take_in
from kundresa.public.group_commit import GroupCommit
from kundresa.public.keys import Keys, parse_keys
from kundresa.public.links import MessageLinks
from kundresa.public.messages import Messages
from kundresa.public.openapi import document
from kundresa.public.recipients import Recipients
from kundresa.public.refusals import tell
from kundresa.public.rules import Rules
from kundresa.public.service import Clock, Service, utc_now
from kundresa.public.webhooks import Webhooks
from kundresa.runs.message_requests import MessageDesk, Pending
from kundresa.settings import Settings
from kundresa.store import Store, StoreError, open_store
from kundresa.warehouse import PeopleIndex


def create() -> Starlette:
    """The application of this installation, as the environment says: what each server process calls."""
    settings = configuration.load()
    return build_app(settings, open_store(settings.store_url))


def build_app(settings: Settings, store: Store, *, clock: Clock = utc_now, fetch: Fetch = fetch) -> Starlette:
    """
    Args:
        fetch: gets what webhooks need from their providers.

    Raises:
        SettingsError: without a signing secret, or when keys or webhooks cannot be read.
        SpecError: when the policies or the event types cannot be read.
    """
    rules = Rules(settings)
    service = Service(
        settings=settings,
        store=store,
        links=Links.from_settings(settings),
        people=PeopleIndex(settings),
        rules=rules,
        clock=clock,
    )
    hits: GroupCommit[RawHit] = GroupCommit(
        lambda items: record_hits(store, items, address_of=service.people.address)
    )
    inbox: GroupCommit[Arrival] = GroupCommit(partial(take_in, store))
    desk = MessageDesk(settings, store, lambda: rules.policies, lambda: rules.event_types)
    requests: GroupCommit[Pending] = GroupCommit(lambda items: desk.take(items, clock()))
    webhooks = parse_webhooks(settings.webhooks, fetch)
    keys = Keys(parse_keys(settings.api_keys))

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        await hits.start()
        await inbox.start()
        await requests.start()
        try:
            yield
        finally:
            await hits.stop()
            await inbox.stop()
            await requests.stop()
            desk.close()
            store.close()

    app = Starlette(
        routes=[
            *Recipients(service).routes(),
            *MessageLinks(service, hits).routes(),
            *EventIntake(service, keys, inbox).routes(),
            *Messages(service, keys, requests).routes(),
            *Audiences(service, keys).routes(),
            *Webhooks(service, webhooks, accounts_of(settings.webhooks)).routes(),
            Route("/openapi.json", partial(_described, service, desk), methods=["GET"]),
            Route("/healthy", partial(_healthy, store), methods=["GET"]),
        ],
        exception_handlers=dict.fromkeys((HTTPException, StoreError, ClientDisconnect, Exception), tell),
        lifespan=running,
    )
    # A path with a slash behind it is none of ours: nobody is sent on, by whatever name they asked for it.
    app.router.redirect_slashes = False
    return app


def _described(service: Service, desk: MessageDesk, _: Request) -> Response:
    url = service.settings.public_url
    return JSONResponse(document(service.event_types, url=url, contracts=desk.contracts()))


def _healthy(store: Store, _: Request) -> Response:
    """200 when the store answers; a proxy sends nobody here otherwise."""
    store.inbox.end()
    return JSONResponse({"healthy": True})
