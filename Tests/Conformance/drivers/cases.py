"""What the drivers written in Python have in common: eight clients that run the same cases side by side.

A case is a function of a `Client` that returns what it saw. All clients of a program run the same case at
the same time, each with settings, texts and values of its own, so that each of them is what disturbs the
others. A line of JSON tells what one client saw in one case; the runner compares such lines.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import threading
import time
import traceback

COUNT = int(os.environ["CONFORMANCE_CLIENTS"])
SETTINGS = json.loads(os.environ["CONFORMANCE_SETTINGS"])
LOOK = os.environ["CONFORMANCE_LOOK"]
ONLY = re.compile(os.environ.get("CONFORMANCE_CASES", ""))
PATIENCE = 45

output = threading.Lock()
# Held by cases that need several servers at once: clients that do so together could wait for each other.
alone = threading.Lock()


class Client:
    """One of the clients: what is its own."""

    def __init__(self, number):
        self.number = number
        self.schema = self.role = f"client_{number}"
        self.settings = SETTINGS[number]


def tell(client, case, **what):
    what = {"client": client, "case": case, **what}
    line = json.dumps(what, default=lambda value: f"{type(value).__name__} {value}")
    with output:
        print(line, flush=True)


def failure(error):
    """How a case ended that should not have, and where."""
    places = [f"{frame.name}, line {frame.lineno}: {frame.line}"
              for frame in traceback.extract_tb(error.__traceback__) if frame.filename == sys.argv[0]]
    return {"error": f"{type(error).__name__}: {str(error).strip()}", "trace": "\n".join(places)}


def wanted(cases):
    return [case for case in cases if ONLY.search(case.__name__)]


def run(cases):
    """Runs each case in all clients at once, in threads."""
    barrier = threading.Barrier(COUNT)

    def work(number):
        client = Client(number)
        for case in wanted(cases):
            barrier.wait(PATIENCE)
            began = time.monotonic()
            try:
                result = {"saw": case(client)}
            except Exception as error:  # whatever a driver raises is what it saw
                result = failure(error)
            tell(number, case.__name__, seconds=time.monotonic() - began, **result)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_async(cases):
    """The same with coroutines of one event loop."""

    async def work(client, case):
        began = time.monotonic()
        try:
            result = {"saw": await case(client)}
        except Exception as error:
            result = failure(error)
        tell(client.number, case.__name__, seconds=time.monotonic() - began, **result)

    async def work_all():
        clients = [Client(number) for number in range(COUNT)]
        for case in wanted(cases):
            await asyncio.gather(*(work(client, case) for client in clients))

    asyncio.run(work_all())


@contextlib.contextmanager
def caught(saw, *kinds):
    """Notes an error that the case wants to see."""
    try:
        yield
        saw.append("no error")
    except kinds or Exception as error:
        saw.append(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")


if __name__ == "__main__":
    sys.exit("This is a part of the drivers beside it, not a program.")
