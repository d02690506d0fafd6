"""A module's tests are found by its name: ``a/b.py`` is tested in ``tests/a/test_b.py`` or in
``tests/a/test_b_*.py``; where not, here is where, and why."""

import ast
from pathlib import Path
from typing import Final

from .conftest import LONGEST

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "proxy/kubelatch"
TESTS: Final = ROOT / "tests"

# Packages that are tested as a whole, from the outside.
WHOLE: Final = {
    "demo": "real kubectl and plain HTTPS clients are what it is for",
}
# Modules that are tested by what they are for: by the reason, each with its tests.
ELSEWHERE: Final = {
    "what a client sees of it is tested, with sockets on both sides": {
        "app": "process/test_start.py",
        "demo_start": "process/test_start.py",
        "places": "clusters/test_router.py",
        "clusters/listing": "clusters/test_router.py",
        "clusters/service": "clusters/test_router.py",
        "context/access": "cli/test_kubeconfig.py",
        "context/assembly": "context/test_reload.py",
        "context/listening": "process/test_listeners.py",
        "context/served": "context/test_contexts.py",
        "credentials/tls/pair": "context/test_client_tls.py",
        "credentials/tls/serving": "context/test_client_tls.py",
        "http1/gunzip": "relay/test_compression.py",
        "http1/headers": "relay/test_headers.py",
        "http1/links": "relay/test_redirects.py",
        "http1/request_line": "relay/test_raw_targets.py",
        "http1/status": "relay/test_upstream_errors.py",
        "http1/writer": "relay/test_headers.py",
        "relay/attempt": "relay/test_retries.py",
        "relay/callbacks": "relay/test_exchange.py",
        "relay/deadline": "process/test_timeouts.py",
        "relay/error_body": "observe/written_rules/test_service.py",
        "relay/file_server": "static_files/test_serving.py",
        "relay/framer": "relay/test_streaming.py",
        "relay/tunnel_end": "relay/test_client.py",
        "relay/handler": "relay/test_exchange.py",
        "relay/kind": "relay/test_drain.py",
        "relay/local": "relay/test_client.py",
        "relay/place": "relay/test_places.py",
        "relay/preparing": "relay/test_places.py",
        "relay/registry": "relay/test_exchange.py",
        "relay/request": "relay/test_streaming.py",
        "relay/request_reader": "relay/test_client.py",
        "relay/response": "relay/test_streaming.py",
        "relay/response_fields": "relay/test_headers.py",
        "relay/routes": "relay/test_watches_over_http2.py",
        "relay/server": "relay/test_limits.py",
        "relay/states": "relay/test_client.py",
        "relay/upload": "relay/test_streaming.py",
        "relay/upstream_exchange": "relay/test_exchange.py",
        "static_files/files": "static_files/test_serving.py",
        "static_files/tree": "static_files/test_links.py",
        "upstream/connections": "relay/test_watches_over_http2.py",
        "upstream/http2/stream": "upstream/http2/test_incoming.py",
        "upstream/fetch": "cli/test_check.py",
        "upstream/http1": "upstream/test_transport.py",
        "upstream/request": "relay/test_headers.py",
        "upstream/tcp": "upstream/test_dial.py",
        "upstream/tls_contexts": "upstream/test_go_verification.py",
        "upstream/unread": "faults/test_unread_bytes.py",
    },
    "a service is asked by its name, with a real program in its pod": {
        "http1/own_origin": "services/test_place.py",
        "services/api": "services/test_resolve.py",
        "services/directory": "services/test_start_page.py",
        "services/errors": "services/test_resolve.py",
        "services/router": "services/test_policy.py",
        "services/setup": "services/test_place.py",
        "gate/service": "services/test_policy.py",
    },
    "the inspector's interface is asked, and its page looked at": {
        "observe/admin_exchange": "observe/test_admin.py",
        "observe/inspector/capture": "observe/inspector/test_inspector.py",
        "observe/inspector/entries": "observe/inspector/test_routes.py",
        "observe/inspector/filters": "observe/inspector/test_routes.py",
        "observe/inspector/pending": "observe/approvals/test_routes.py",
        "observe/inspector/replaying": "observe/inspector/test_replay.py",
        "observe/inspector/ring": "observe/inspector/test_inspector.py",
        "observe/inspector/service": "observe/inspector/test_routes.py",
        "observe/inspector/totals": "observe/inspector/test_routes.py",
        "observe/secret_pages": "observe/inspector/test_routes.py",
    },
    "what waits is asked about, and answered": {
        "cli/connection": "cli/test_wait.py",
        "observe/approvals/body": "observe/approvals/test_risks.py",
        "observe/approvals/compare": "observe/approvals/test_dry_run.py",
        "observe/approvals/digest": "observe/approvals/test_routes.py",
        "observe/approvals/service": "observe/approvals/test_routes.py",
    },
    "the log, as it is written, is what is tested": {
        "observe/access_log/request_view": "observe/access_log/test_log.py",
        "observe/observer": "observe/access_log/test_log.py",
        "observe/process_metrics": "observe/test_metrics.py",
        "observe/context_states": "clusters/test_observing.py",
        "observe/state_metrics": "observe/test_metrics.py",
        "observe/program_log": "observe/test_console.py",
        "observe/suggestions": "observe/test_console.py",
        "relay/record": "observe/access_log/test_log.py",
    },
    "the gate is asked, which decides with it": {
        "gate/decision": "gate/test_head.py",
        "gate/judge": "gate/test_head.py",
        "gate/gate": "gate/test_head.py",
        "gate/hosts": "gate/test_patterns.py",
        "kubeconfig/contexts": "context/test_contexts.py",
        "gate/settings": "gate/test_patterns.py",
    },
    "the real kubectl is the oracle, and is asked about the whole": {
        "credentials/tls/context": "credentials/tls/test_handshakes.py",
        "credentials/tls/explain": "credentials/tls/test_handshakes.py",
        "credentials/tls/go_context": "upstream/test_go_verification.py",
        "credentials/tls/names": "credentials/tls/test_against_kubectl.py",
        "credentials/tls/path": "credentials/tls/test_against_kubectl.py",
        "credentials/tls/peer": "credentials/tls/test_against_kubectl.py",
        "kubeconfig/changes": "context/test_reload.py",
        "kubeconfig/client_file": "cli/test_kubeconfig.py",
        "kubeconfig/entries": "kubeconfig/test_against_kubectl.py",
        "kubeconfig/in_cluster": "kubeconfig/test_load.py",
        "kubeconfig/kuberc": "kubeconfig/test_load.py",
        "kubeconfig/server": "kubeconfig/test_against_kubectl.py",
        "kubeconfig/usable": "kubeconfig/test_against_kubectl.py",
        "kubeconfig/validate": "kubeconfig/test_against_kubectl.py",
        "config/commands": "config/test_goflags.py",
        "config/fields": "config/test_settings.py",
        "config/consistency": "config/test_goflags.py",
        "config/flag_values": "config/test_goflags.py",
    },
    "a part of a larger one, which is tested with a real plugin or issuer": {
        "credentials/exec_credential": "credentials/test_exec_plugin.py",
        "credentials/exec_policy": "credentials/test_exec_plugin.py",
        "credentials/exec_process": "credentials/test_exec_plugin.py",
        "credentials/oidc_file": "credentials/test_oidc.py",
        "credentials/oidc_http": "credentials/test_oidc.py",
        "credentials/source": "credentials/test_expiry.py",
        "credentials/tokens": "credentials/test_static.py",
    },
    "the process is watched that does it": {
        "cli/manual": "package/test_install.py",
        "cli/serve": "process/test_signals.py",
        "system/acceptor": "process/test_listeners.py",
        "system/event_loop": "process/test_start.py",
        "system/listeners": "process/test_listeners.py",
        "system/process": "process/test_core_dumps.py",
        "system/systemd": "package/test_systemd.py",
        "system/threads": "context/test_hanging_files.py",
        "system/zombies": "process/test_signals.py",
    },
    "it holds values, and those who use it are tested": {
        "_version": "package/test_install.py",
        "config/options": "embedding/test_embedding.py",
        "config/overrides": "config/test_settings.py",
        "credentials/values": "credentials/test_static.py",
        "errors": "test_redact.py",
        "kubeconfig/values": "kubeconfig/test_load.py",
        "secret": "credentials/test_static.py",
    },
    "it is for the tests of others, and ours use it": {
        "pytest_plugin": "embedding/test_embedding.py",
        "testing": "embedding/test_embedding.py",
        "upstream/fake": "upstream/test_transport.py",
    },
}


def named(module: Path) -> list[Path]:
    """The test files that bear the name of a module."""
    directory = TESTS / module.parent
    if module.parent == Path():
        directory = next(filter(Path.is_dir, [TESTS / module]), TESTS)
    patterns = (f"test_{module.name}.py", f"test_{module.name}_*.py")
    return [path for pattern in patterns for path in directory.glob(pattern)]


def modules() -> list[Path]:
    """The modules, without those that only say what a package is, or start it."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return [path for path in paths if not path.name.startswith("__") and path.parts[0] not in WHOLE]


def test_every_module_has_tests_of_its_name_or_says_where() -> None:
    elsewhere = {name for reason in ELSEWHERE.values() for name in reason}
    assert {str(module) for module in modules() if not named(module)} == elsewhere


def test_the_tests_that_are_elsewhere_are_there() -> None:
    where = {path for reason in ELSEWHERE.values() for path in reason.values()}
    assert [path for path in sorted(where) if not (TESTS / path).exists()] == []


def test_no_two_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                module = path.relative_to(PACKAGE).as_posix()
                found.setdefault(node.name.lstrip("_"), []).append(module)
    assert {name: modules for name, modules in found.items() if len(modules) > 1} == {}


def test_the_modules_that_start_first_are_there() -> None:
    assert [path for path in LONGEST if not (TESTS / path).exists()] == []
