"""Following the kubeconfig: a new generation when a file that it was made of has changed.

Files are compared by stat once a second, away from the requests: symlinks that the kubelet
swaps, editors that rename, and network file systems all show up so, which inotify cannot say.
A file that cannot be used leaves the generation in place that works (client-go keeps its last
good token in the same way), and is reported once. What the credential itself is read from, a
token file for one, is its source's own business.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from .errors import KubelatchError
from .kubeconfig import DISK, FileSignature
from .upstream.generation import Generation

log = logging.getLogger(__name__)

# Within two seconds a new file is in use; a few stats a second cost nothing.
INTERVAL: Final = 1.0


class SeenFiles:
    """Reads files, and remembers what each was like just before it was read.

    A file that changes while it is being read, or right after, is thus noticed later.
    """

    def __init__(self) -> None:
        self._seen: dict[str, FileSignature] = {}

    def look(self, path: str) -> None:
        """Remember a file that somebody else reads."""
        self._seen[path] = DISK.signature(path)

    def read(self, path: str) -> bytes:
        """The whole content. Raises OSError."""
        self.look(path)
        return DISK.read(path)

    def signature(self, path: str) -> FileSignature:
        """See ``FileReader``."""
        self.look(path)
        return self._seen[path]

    def keep(self, paths: Iterable[str]) -> None:
        """Of all that was read, only these matter: the others have somebody who follows them,
        as a credential's source does with its token file."""
        wanted = set(paths)
        self._seen = {path: seen for path, seen in self._seen.items() if path in wanted}

    def now(self) -> Mapping[str, FileSignature]:
        """What they are like now."""
        return {path: DISK.signature(path) for path in self._seen}

    def changed(self) -> bool:
        """Any of them is another than was read, has gone, or has come."""
        return self.now() != self._seen


class Reloader:
    """Holds the current generation.

    Args:
        build: makes a generation of what the files say now, reading them through what it is
            given; raises KubelatchError.
        interval: seconds between two looks at the files.

    Raises:
        KubelatchError: the first generation cannot be made.
    """

    def __init__(
        self, build: Callable[[SeenFiles], Generation], *, interval: float = INTERVAL
    ) -> None:
        self._build = build
        self._interval = interval
        self._files = SeenFiles()
        self._generation = build(self._files)
        self._task: asyncio.Task[None] | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self.last_error: KubelatchError | None = None
        self.reloads = 0

    def current(self) -> Generation:
        """The generation for an exchange that begins now."""
        return self._generation

    def start(self) -> None:
        """Begin to watch the files."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="kubelatch reload")

    async def stop(self) -> None:
        """Stop watching, and close the generation. May be repeated."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        await self._generation.close()

    def reload(self) -> bool:
        """Read the files now, changed or not; True if there is a new generation."""
        files = SeenFiles()
        try:
            generation = self._build(files)
        except KubelatchError as error:
            # What was read is remembered all the same, so that it is reported once.
            self._files = files
            self.last_error = error
            log.error("the changed configuration is not used: %s", error)
            return False
        old, self._generation, self._files = self._generation, generation, files
        self.last_error = None
        self.reloads += 1
        log.info("configuration reloaded")
        task = asyncio.get_running_loop().create_task(old.retire(), name="kubelatch retire")
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)
        return True

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if self._files.changed():
                self.reload()
