"""What the demo cluster holds when it starts: a generated data file.

``tests/demo/content.py`` makes it, by the demo's own controllers.
"""

import datetime as dt
import json
import re

from . import schemas
from .mains import Mains
from .resources import PODS
from .store import Store, timestamp

VIEWER = "viewer"
_AGE = dt.timedelta(days=3, hours=4)


def restore(store: Store, ca_pem: str) -> None:
    """Fill an empty store; everything in it is three days old and at rest."""
    text = schemas.text("cluster.json.gz").replace("<ca>", json.dumps(ca_pem)[1:-1])
    text = text.replace("<time>", timestamp(store.clock() - _AGE))
    makers = {"uid": store.identifiers.uid, "suffix": store.identifiers.suffix}
    for kind, make in makers.items():
        parts = re.split(rf"<{kind}:(\d+)>", text)
        numbers = [int(number) for number in parts[1::2]]
        made = [make() for _ in range(max(numbers) + 1)]
        parts[1::2] = [made[number] for number in numbers]
        text = "".join(parts)
    loaded = json.loads(text)
    store.restore(loaded["objects"], loaded["revision"])


def start(store: Store, mains: Mains) -> None:
    """Run what the pods of a restored cluster run."""
    for pod in store.list(PODS):
        for container in pod["spec"]["containers"]:
            mains.start(pod, container)
