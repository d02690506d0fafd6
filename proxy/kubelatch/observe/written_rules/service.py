"""Puts the writing of rules together from the flags."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ...config.settings import Settings
from ...redact import sanitize
from ...relay.handler import Handler
from ...relay.record import Record
from ..access_log.request_view import RequestViews
from .collector import PermissionCollector
from .file import RulesFile
from .grouping import roles_of
from .manifest import manifest

log = logging.getLogger(__name__)

# apimachinery/pkg/util/validation, IsDNS1123Label: a role may be named by more than that.
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_DEFAULT_NAME: Final = "kubelatch"


class RulesService:
    """Collects what passes, and writes the rules for it once.

    Args:
        settings: the flags.
        handler: of the proxy's port.
        views: parses the requests of records.
        context: returns the kubeconfig context in use.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        handler: Handler,
        views: RequestViews,
        context: Callable[[], str],
    ) -> None:
        self._file = RulesFile(settings.write_rules, settings.allow_rules)
        self._with_names = settings.write_rules_names
        self._collector = PermissionCollector(
            views, with_names=self._with_names, chosen=lambda: handler.context
        )
        self._registry = handler.registry
        self._context = context
        # The proxy has started, and the rules have not been written.
        self._pending = False

    def begin(self) -> None:
        """Write the rules at the end: the proxy has started."""
        self._registry.keeps_errors = True
        self._pending = True

    def take(self, records: Sequence[Record]) -> None:
        """Take requests that have ended."""
        self._collector.take(records)

    def write(self) -> None:
        """Write the rules for what has ended and is under way. Later calls do nothing."""
        if not self._pending:
            return
        self._pending = False
        self._collector.take(_under_way(self._registry.records))
        name = self._file.name
        text = manifest(
            roles_of(self._collector.counts),
            self._collector.outcomes,
            name=name if _NAME.fullmatch(name) else _DEFAULT_NAME,
            context=sanitize(self._context()),
            with_names=self._with_names,
        )
        try:
            self._file.replace(text)
        except OSError as error:
            log.error(
                "--write-rules %s: %s: the rules are lost",
                self._file.shown,
                os.strerror(error.errno or 0),
            )
        else:
            log.info("rules for what passed are in %s", self._file.shown)


def _under_way(records: Iterable[Record]) -> list[Record]:
    """Those that the API server has responded to."""
    return [record for record in records if record.status]
