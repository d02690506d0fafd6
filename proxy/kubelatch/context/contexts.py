"""All contexts that are served, by alias: those of the kubeconfig that ``--contexts`` asks for.

The list follows the kubeconfig. An alias is bound to its context for as long as the proxy runs: a
name that means one cluster never comes to mean another. A context is gone when it is missing twice
in a row, as kubectl writes its file in two steps, and an empty one is seen between them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from ..config.settings import Settings
from ..errors import ConfigError, KubelatchError, UsageError
from ..gate.settings import CLUSTERS
from ..kubeconfig import TrackedFiles
from ..kubeconfig.aliases import ALL, assign, parse_selection
from ..kubeconfig.contexts import ContextEntry, contexts_of, list_contexts
from ..redact import sanitize
from ..system.supervision import Supervisor
from ..system.threads import DaemonExecutor
from .assembly import Assembler, Beside
from .reload import INTERVAL, Reloader
from .served import ChosenContext, ServedContext, settings_beside

log = logging.getLogger(__name__)

# Seconds without a request after which a context rests, or twice as many.
_REST: Final = 60.0
# Threads in which files are read, for all contexts: as many may hang at once.
_THREADS: Final = 32
# Seconds between two runs of a failing plugin: of a context that was named, as of the chosen one;
# and of one that is served because all are.
_NAMED_PAUSE: Final = 1.0
_UNNAMED_PAUSE: Final = 60.0
_SHOWN: Final = 3

Place = ServedContext | ChosenContext


class Contexts:
    """See the module.

    Args:
        source: makes the chosen context; its settings, and how files are read, are those of all.
        chosen: holds the chosen context.
        supervisor: runs what is periodical.
        leave: ends what is under way in a context that is gone; given its alias.
        busy: returns the aliases of contexts in which something is under way.

    Attributes:
        on_change: called after each reload of a context beside the chosen one.
    """

    def __init__(
        self,
        source: Assembler,
        chosen: Reloader,
        supervisor: Supervisor,
        leave: Callable[[str], Awaitable[None]],
        busy: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._source = source
        self._settings = source.settings
        self._chosen = chosen
        self._supervisor = supervisor
        self._leave = leave
        self._busy = busy
        self.on_change: Callable[[], None] = lambda: None
        self._selection = parse_selection(source.settings.contexts)
        self._executor = DaemonExecutor(_THREADS, "kubelatch contexts")
        self._files = TrackedFiles(source.disk)
        self._places: dict[str, Place] = {}
        # Names by alias, of all that have been served.
        self._bound: dict[str, str] = {}
        self._missing: set[str] = set()
        self._reported: set[str] = set()
        self._started = False
        # End what is periodical.
        self._ends: list[Callable[[], None]] = []
        self._leaving: set[asyncio.Task[None]] = set()

    def find(self, alias: str) -> Place | None:
        """The context with this alias."""
        return self._places.get(alias)

    @property
    def places(self) -> list[Place]:
        """All contexts, the chosen one first, then by alias."""
        return sorted(self._places.values(), key=lambda each: (not each.chosen, each.name))

    @property
    def others(self) -> list[ServedContext]:
        """Those beside the chosen one that have been used."""
        return [
            place
            for place in self._places.values()
            if isinstance(place, ServedContext) and (place.reloader or place.problem)
        ]

    @property
    def chosen_alias(self) -> str:
        """The alias of the chosen context; empty if it has no name."""
        return next((place.name for place in self._places.values() if place.chosen), "")

    async def start(self) -> None:
        """Read which contexts there are, and begin to follow the kubeconfig.

        Raises:
            UsageError: two have the same alias, or one that is to be writable is not served.
            ConfigError: there is no kubeconfig, or one that is named is not in it.
        """
        if self._chosen.setup.config.source == "in-cluster":
            raise ConfigError(
                "--contexts: the pod's service account is used, and has no contexts",
                hint="name a kubeconfig with --kubeconfig, or leave --contexts out",
            )
        loop = asyncio.get_running_loop()
        entries = await loop.run_in_executor(self._executor, self._list)
        self._check_names(entries)
        problems = self._update(entries)
        if problems:
            raise UsageError(
                f"--contexts: {'; '.join(problems[:_SHOWN])}",
                hint=f"give each an alias of its own, as in --contexts={self._example()}",
            )
        self._check_writable()
        self._started = True
        every = self._supervisor.every
        self._ends.append(every("idle contexts", _REST, self._rest))
        if self._source.kubeconfig is None:
            self._ends.append(every("contexts", INTERVAL, self._pass))

    def _example(self) -> str:
        return f"{ALL},ALIAS=NAME" if self._selection.all else "ALIAS=NAME"

    def _list(self, forced: bool = True) -> dict[str, ContextEntry] | None:
        """In the thread: the contexts by name; None if no file has changed."""
        source = self._source
        if source.kubeconfig is not None:
            return contexts_of(source.kubeconfig)
        if not forced and not self._files.changed():
            return None
        # Files of a pass that fails count as seen.
        before, self._files = self._files, TrackedFiles(source.disk)
        self._files.follow(before)
        overrides = self._settings.overrides
        entries, paths = list_contexts(overrides, source.environ, self._files, source.parse)
        self._files.keep(paths)
        return entries

    def _check_names(self, entries: Mapping[str, ContextEntry] | None) -> None:
        for _, name in self._selection.named:
            if name not in (entries or {}):
                known = ", ".join(sorted(entries or {})[:20])
                raise ConfigError(f'context "{name}" does not exist', hint=f"There are: {known}.")

    def _check_writable(self) -> None:
        for alias in self._settings.write_contexts:
            if alias == ALL or alias in self._places:
                continue
            problem = f"--write-contexts={alias}: no context has this alias"
            if not self._selection.all:
                raise UsageError(problem, hint=f"there are: {', '.join(sorted(self._places))}")
            log.warning("%s now", problem)

    async def _pass(self) -> None:
        """Look whether there are other contexts now."""
        # The chosen context's own pass reports what is wrong with the file.
        try:
            entries = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._list, bool(self._missing)
            )
        except KubelatchError:
            return
        if entries is not None:
            problems = self._update(entries)
            for problem in problems:
                if problem not in self._reported:
                    log.warning("--contexts: %s, and are not served", problem)
            self._reported = set(problems)

    def _update(self, entries: Mapping[str, ContextEntry] | None) -> list[str]:
        """Serve what is there. Returns why others are not served."""
        entries = entries or {}
        config = self._chosen.setup.config
        names = {*entries, *filter(None, [config.context])}
        assigned, problems = assign(self._selection, names, config.context, self._bound)
        for alias, name in assigned.items():
            entry = entries.get(name)
            place = self._places.get(alias)
            if place is None:
                self._add(alias, name, entry)
            elif entry is not None:
                place.entry = entry
        absent = {alias for alias in self._places if alias not in assigned}
        for alias in absent & self._missing:
            self._remove(alias)
        self._missing = absent - self._missing
        return problems

    def _add(self, alias: str, name: str, entry: ContextEntry | None) -> None:
        self._bound[alias] = name
        config = self._chosen.setup.config
        if name == config.context:
            # Its server and user may be those of flags.
            chosen = ContextEntry(name, config.cluster_name, config.server.url, config.user_name)
            self._places[alias] = ChosenContext(alias, chosen, self._settings, self._chosen)
            return
        writable = not {ALL, alias}.isdisjoint(self._settings.write_contexts)
        hint = ""
        if not writable and self._settings.read_only == "off":
            hint = (
                "contexts beside the chosen one can only be read: --write-contexts="
                f"{alias} lets this one be changed"
            )
        self._places[alias] = ServedContext(
            alias,
            entry or ContextEntry(name, "", "", ""),
            settings_beside(self._settings, name, alias, writable=writable),
            hint,
            self._make,
            lambda: self._chosen.setup.gate,
        )
        if self._started:
            log.info('context "%s" is served at %s%s/', sanitize(name), CLUSTERS, alias)

    def _make(self, settings: Settings, read_only_hint: str) -> Reloader:
        """The reloader of a context beside the chosen one."""
        name = settings.context
        named = any(name == each for _, each in self._selection.named)
        pause = _NAMED_PAUSE if named else _UNNAMED_PAUSE
        source = self._source
        files = source.disk.view()
        assembler = Assembler(
            settings,
            source.environ,
            files,
            source.kubeconfig,
            parse=source.parse,
            beside=Beside(read_only_hint, pause),
        )
        return Reloader(
            assembler,
            files,
            lambda *_: self.on_change(),
            self._supervisor,
            context=name,
            executor=self._executor,
        )

    def _remove(self, alias: str) -> None:
        place = self._places.pop(alias)
        if not isinstance(place, ServedContext):
            return
        log.warning('context "%s" is gone: %s%s/ ends', sanitize(place.entry.name), CLUSTERS, alias)
        task = asyncio.get_running_loop().create_task(self._end(place), name="kubelatch leave")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _end(self, place: ServedContext) -> None:
        try:
            await self._leave(place.name)
        finally:
            await place.stop()

    def _rest(self) -> None:
        busy = self._busy()
        for place in self._places.values():
            if isinstance(place, ServedContext) and place.name not in busy:
                place.rest()

    async def reload(self) -> None:
        """Read the files of all contexts that are in use, and which contexts there are."""
        if self._source.kubeconfig is None:
            await self._pass()
        await asyncio.gather(*(place.reload() for place in self.others))

    def on_suspend(self) -> None:
        """The machine was suspended, and connections may be dead."""
        for place in self.others:
            if place.reloader is not None:
                place.reloader.current().on_suspend()

    async def stop(self) -> None:
        """Close everything. May be repeated."""
        for end in self._ends:
            end()
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        places = [place for place in self._places.values() if isinstance(place, ServedContext)]
        self._places.clear()
        await asyncio.gather(*(place.stop() for place in places))
        self._executor.shutdown()
