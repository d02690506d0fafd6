"""``kubelatch check`` of several contexts: those that are named, or those of ``--contexts``."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from ..config.settings import Settings
from ..context.assembly import build_generation, load_configuration
from ..context.served import settings_beside
from ..errors import ConfigError, KubelatchError, UsageError
from ..kubeconfig import DISK
from ..kubeconfig.aliases import assign, parse_selection
from ..kubeconfig.contexts import list_contexts
from ..kubeconfig.merge import Parse, ParsedFiles
from .check import Report, try_requests

# How many are tried at once: each may run a plugin.
_AT_ONCE: Final = 8
_SHOWN: Final = 3


def choose_one(settings: Settings, name: str) -> Settings:
    """The settings for the context that is named in place of ``--context``.

    Raises:
        UsageError: both are given.
    """
    if settings.context not in {"", name}:
        msg = f"--context={settings.context} and the context {name} are two"
        raise UsageError(msg, hint="say kubelatch check NAME NAME to check both")
    return settings.replaced(context=name)


async def check_contexts(
    settings: Settings, names: Sequence[str], environ: Mapping[str, str]
) -> list[Report]:
    """The reports of several contexts, in order. Reads files, and blocks.

    Args:
        settings: the flags. Those that say where the server is, or how to authenticate there, are
            for the chosen context alone, as when they are served.
        names: of the contexts; if empty, they are those of ``--contexts``.
        environ: the environment.

    Raises:
        KubelatchError: a file or a flag cannot be used, or a context does not exist.
    """
    parse = ParsedFiles()
    entries, _ = list_contexts(settings.overrides, environ, DISK, parse)
    try:
        chosen = load_configuration(settings, environ, parse=parse).context
    except ConfigError:
        # Among several it need not work.
        chosen = settings.context
    if names:
        wanted = [("", name) for name in dict.fromkeys(names)]
    else:
        selection = parse_selection(settings.contexts)
        names = [name for _, name in selection.named]
        assigned, problems = assign(selection, entries, chosen, {})
        if problems:
            raise UsageError(f"--contexts: {'; '.join(problems[:_SHOWN])}")
        wanted = sorted(assigned.items())
    for name in names:
        if name not in entries:
            known = ", ".join(sorted(entries)[:20])
            raise ConfigError(f'context "{name}" does not exist', hint=f"There are: {known}.")
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(alias: str, name: str) -> Report:
        own = settings
        if name != chosen:
            own = settings_beside(settings, name, alias, writable=False)
        async with limit:
            report = await _check(own, name, environ, parse)
        if alias:
            report.facts = {"alias": alias, **report.facts}
        return report

    return list(await asyncio.gather(*(one(*each) for each in wanted)))


async def _check(settings: Settings, name: str, environ: Mapping[str, str], parse: Parse) -> Report:
    try:
        config = load_configuration(settings, environ, parse=parse)
        generation = build_generation(config, settings, environ)
    except KubelatchError as error:
        return Report({"context": name}, str(error), error.exit_code)
    return await try_requests(config, generation, environ)
