"""Driver of LiteLLM's SDK: reads one command per line of JSON on standard input, and writes the result as a line.

{"call": "image_generation", "params": {…}} names a function of `litellm`, which is awaited where it is async. With
"router": {…} it is a method of a `Router` of one deployment with these parameters. Pictures to edit are given by the
paths of their files, in `image` and `mask`.
"""

import asyncio
import inspect
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import litellm

litellm.suppress_debug_info = True  # it would be printed among the answers


async def call(name: str, params: dict[str, Any], router: dict[str, Any] | None = None) -> dict[str, Any]:
    if router is not None:
        deployment = {"model_name": "pictures", "litellm_params": params | {"model": "openai/gpt-image-2"}}
        module, params = litellm.Router([deployment], **router), {"model": "pictures", "prompt": params.pop("prompt")}
    else:
        module = litellm
    with ExitStack() as files:

        def opened(path: str) -> BinaryIO:
            return files.enter_context(Path(path).open("rb"))

        for field in {"image", "mask"} & params.keys():
            given = params[field]
            params[field] = [opened(path) for path in given] if isinstance(given, list) else opened(given)
        try:
            answer = getattr(module, name)(**params)
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as error:
            # Each of its errors descends from one of `openai`.
            if not hasattr(error, "status_code"):
                raise
            return {"error": {"name": type(error).__name__, "message": str(error), "status": error.status_code}}
        return {"answer": answer.model_dump()}


async def main() -> None:
    for line in sys.stdin:
        requested = json.loads(line)
        print(json.dumps(await call(requested["call"], requested["params"], requested.get("router"))), flush=True)


asyncio.run(main())
