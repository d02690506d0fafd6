"""Names and uids that the server makes up.

With a seed, all of them are the same in each run. Without one, names still are, so that documents
can quote them, and uids are not.
"""

import random
import uuid

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes: k8s.io/apimachinery ``util/rand``."""


class Identifiers:
    """Makes them up.

    Args:
        seed: any number; None for uids that are different in each run.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._names = random.Random(0 if seed is None else seed)  # noqa: S311 - names, no secrets
        self._uids = random.SystemRandom() if seed is None else random.Random(~seed)  # noqa: S311

    def suffix(self) -> str:
        """Five characters."""
        return "".join(self._names.choices(_SUFFIX_ALPHABET, k=5))

    def uid(self) -> str:
        """A UUID of version 4."""
        return str(uuid.UUID(int=self._uids.getrandbits(128), version=4))
