"""As the example `eliza_service_sync` has it: a service for threads inside of Flask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from talk.talk_connect import TalkServiceSync, TalkServiceWSGIApplication
from talk.talk_pb import Sentence
from werkzeug.middleware.dispatcher import DispatcherMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectrpc.request import RequestContext


class DemoTalkServiceSync(TalkServiceSync):
    def say(self, request: Sentence, ctx: RequestContext) -> Sentence:
        return Sentence(text=f"Why do you say {request.text}?")

    def tell(self, request: Sentence, ctx: RequestContext) -> Iterator[Sentence]:
        for text in (f"Hello {request.text}.", "How are you?"):
            yield Sentence(text=text)

    def converse(self, request: Iterator[Sentence], ctx: RequestContext) -> Iterator[Sentence]:
        for sentence in request:
            yield Sentence(text=f"{sentence.text}, you say?")


app = Flask(__name__)


@app.route("/healthz")
def health_check():
    return "OK"


talk_app = TalkServiceWSGIApplication(DemoTalkServiceSync())

app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {talk_app.path: talk_app})
