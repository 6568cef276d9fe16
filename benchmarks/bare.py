"""An ASGI application that does nothing: the upper bound of the load generator and the HTTP server."""

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from pixyproxy.entrypoints.http.server import bind

_BODY = b"{}" * 400
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Send the same bytes for any request."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS, "trailers": False})
    await send({"type": "http.response.body", "body": _BODY, "more_body": False})


if __name__ == "__main__":
    listener = bind("127.0.0.1", 0)
    print(f"address http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(application, log_config=None, access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])
