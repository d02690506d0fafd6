"""What the upstream serves: one small object, and lists of pods of any size, plain and gzipped."""

import json
import random
import struct
import uuid
import zlib
from pathlib import Path
from typing import Any, Final

MEGABYTE: Final = 1024 * 1024
# The API server's level (apiserver/pkg/endpoints/handlers/responsewriters, gzip.BestSpeed).
_LEVEL: Final = 1


def small_object() -> bytes:
    """A ConfigMap of about 700 bytes, as one GET of it returns."""
    return json.dumps(
        {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {
                "name": "settings",
                "namespace": "default",
                "uid": str(uuid.UUID(int=1)),
                "resourceVersion": "421",
                "creationTimestamp": "2025-01-01T00:00:00Z",
                "labels": {"app.kubernetes.io/name": "shop"},
            },
            "data": {
                f"key-{number}": "a value of forty bytes or thereabouts" for number in range(8)
            },
        },
        separators=(",", ":"),
    ).encode()


def write_list(path: Path, size: int) -> None:
    """Write a pod list of *size* bytes to *path*, and the same gzipped to ``path.gz``.

    The list repeats a megabyte of pods. The gzip file is one member whose blocks do not refer to
    one another, so that half a gigabyte is written in a second.

    Args:
        path: where.
        size: a whole number of megabytes.
    """
    count = size // MEGABYTE
    block = _pods()
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    with path.open("wb") as plain, path.with_name(path.name + ".gz").open("wb") as gzipped:
        gzipped.write(b"\x1f\x8b\x08\0\0\0\0\0\x04\x03")
        for _ in range(count):
            plain.write(block)
            gzipped.write(packed)
            checksum = zlib.crc32(block, checksum)
        gzipped.write(packer.flush() + struct.pack("<II", checksum, size & 0xFFFFFFFF))


def _pods() -> bytes:
    """A megabyte of pods in JSON."""
    chance = random.Random(7)  # noqa: S311 -- the same bytes in every run, not a secret
    items, size = [], 0
    while size < MEGABYTE:
        items.append(json.dumps(_pod(chance), separators=(",", ":")).encode())
        size += len(items[-1]) + 1
    return b",".join(items)[:MEGABYTE]


def _pod(chance: random.Random) -> dict[str, Any]:
    name = f"shop-{chance.getrandbits(40):010x}"
    owner = str(uuid.UUID(int=chance.getrandbits(128)))
    address = ".".join(str(chance.randrange(256)) for _ in range(4))
    when = f"2025-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T10:00:00Z"
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": str(uuid.UUID(int=chance.getrandbits(128))),
            "resourceVersion": str(chance.randrange(10**7)),
            "creationTimestamp": when,
            "labels": {"app": "shop", "pod-template-hash": f"{chance.getrandbits(40):010x}"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "shop", "uid": owner}],
        },
        "spec": {
            "nodeName": f"node-{chance.randrange(40)}",
            "containers": [
                {
                    "name": "shop",
                    "image": f"registry.example/shop@sha256:{chance.getrandbits(256):064x}",
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                    "terminationMessagePath": "/dev/termination-log",
                    "imagePullPolicy": "IfNotPresent",
                }
            ],
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "startTime": when,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": when}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
        },
    }
