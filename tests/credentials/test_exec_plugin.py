"""Exec plugins as real processes, on both event loops."""

import asyncio
import base64
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from kubelatch.credentials import Credential, CredentialSource, source_for
from kubelatch.credentials.exec_policy import check_allowed
from kubelatch.errors import ConfigError, CredentialError
from kubelatch.kubeconfig import ExecRule, Overrides
from tests.support.certificates import Authority

from .support import V1, Clock, Plugin, config_for

Run = Callable[[Coroutine[Any, Any, Any]], Any]

# Prints a shell's session, field 6 of proc(5)'s stat; ps is not everywhere.
SESSION = "sed 's/.*) //' /proc/$$/stat | cut -d' ' -f4"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on one of the loops; what a loop leaves open shows as a warning."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


def source(plugin: Plugin, **arguments: Any) -> CredentialSource:
    settings = {"has_terminal": False, **arguments}
    user = plugin.user(**settings.pop("user", {}))
    overrides = settings.pop("overrides", None)
    return source_for(config_for(user, overrides, **settings.pop("cluster", {})), **settings)


def token(credential: Credential) -> str:
    return credential.authorization.reveal() if credential.authorization else ""


def ended(path: Path) -> bool:
    """Whether the process whose id the file holds is gone."""
    pid = int(path.read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        # A process that was orphaned and ended may wait for the system to collect it.
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


class TestAnswers:
    def test_a_token(self, run: Run, plugin: Plugin) -> None:
        plugin.answers('{"token": "abc\\n"}')
        assert token(run(source(plugin).get())) == "Bearer abc"

    def test_a_certificate_and_its_expiry(
        self, run: Run, plugin: Plugin, authority: Authority
    ) -> None:
        alice = authority.client("alice")
        status = {
            "clientCertificateData": alice.certificate,
            "clientKeyData": alice.key,
            "expirationTimestamp": "9999-12-31T23:59:59Z",
        }
        plugin.answers(json.dumps(status))
        asked = source(plugin)
        credential = run(asked.get())
        assert credential.certificate.chain == alice.certificate.encode()
        info = asked.describe().certificate
        assert info is not None
        assert info.common_name == "alice"
        # The certificate ends before the time that the plugin names.
        assert credential.expires_at == info.not_after

    @pytest.mark.parametrize(
        ("text", "expires_at"),
        [
            ("2030-01-01T00:00:00Z", 1893456000.0),
            ("2030-01-01T02:00:00+02:00", 1893456000.0),
            ("2030-01-01T00:00:00.5Z", 1893456000.5),
            ("2030-01-01t00:00:00.123456789z", 1893456000.123456),
            # Go's zero time is none.
            ("0001-01-01T00:00:00Z", None),
            ("0001-01-01T00:00:00.000Z", None),
            ("0001-01-01T02:00:00+02:00", None),
            # The last that can be shown as a date.
            ("9999-12-31T23:59:59-12:00", 253402300799.0),
        ],
    )
    def test_an_expiry(self, run: Run, plugin: Plugin, text: str, expires_at: float | None) -> None:
        plugin.answers(json.dumps({"token": "t", "expirationTimestamp": text}))
        assert run(source(plugin).get()).expires_at == expires_at

    @pytest.mark.parametrize(
        "text", ["", "soon", "2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "1893456"]
    )
    def test_no_expiry(self, run: Run, plugin: Plugin, text: str) -> None:
        plugin.answers(json.dumps({"token": "t", "expirationTimestamp": text}))
        with pytest.raises(CredentialError, match="RFC 3339"):
            run(source(plugin).get())

    @pytest.mark.parametrize(
        ("status", "message"),
        [
            ('{"token": ["hunter2"]}', "status.token is no string"),
            ('{"token": "hunter2\\u0001"}', "no HTTP header may hold"),
            ('{"token": "\\n"}', "empty token"),
            ('{"clientCertificateData": "\\ud800", "clientKeyData": "x"}', "neither JSON nor YAML"),
            ('{"clientCertificateData": "x", "clientKeyData": "\\u2603"}', "it is no PEM"),
        ],
    )
    def test_what_is_no_token(self, run: Run, plugin: Plugin, status: str, message: str) -> None:
        plugin.answers(status)
        with pytest.raises(CredentialError, match=message) as caught:
            run(source(plugin).get())
        assert "hunter2" not in caught.value.message

    def test_output_without_end(self, run: Run, plugin: Plugin) -> None:
        plugin.says("head -c 5000000 /dev/zero")
        with pytest.raises(CredentialError, match="does not end"):
            run(source(plugin).get())

    def test_many_requests_one_run(self, run: Run, plugin: Plugin) -> None:
        plugin.answers('{"token": "t"}', before="sleep 0.1")

        async def many() -> None:
            asked = source(plugin)
            await asyncio.gather(*(asked.get() for _ in range(20)))

        run(many())
        assert plugin.runs == 1

    def test_a_401_runs_it_once_more(self, run: Run, plugin: Plugin) -> None:
        plugin.answers('{"token": "old"}')

        async def invalidate() -> Credential | None:
            asked = source(plugin)
            rejected = await asked.get()
            plugin.answers('{"token": "new"}')
            return await asked.invalidate(rejected)

        fresh = run(invalidate())
        assert token(fresh) == "Bearer new"
        assert plugin.runs == 2


class TestMessages:
    @pytest.mark.parametrize("line", ["open this page\\n", "Password: "], ids=["line", "prompt"])
    def test_lines_are_shown_at_once(
        self, run: Run, plugin: Plugin, caplog: pytest.LogCaptureFixture, line: str
    ) -> None:
        plugin.answers('{"token": "t"}', before=f'printf "{line}" >&2; read _ < "$0.fifo"')
        fifo = Path(f"{plugin.path}.fifo")
        os.mkfifo(fifo)

        async def wait_for_message() -> None:
            waiting = asyncio.create_task(source(plugin).get())
            while not caplog.messages:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            # It is still running: only now does it get what it waits for.
            await asyncio.to_thread(fifo.write_text, "\n")
            await waiting

        run(wait_for_message())
        assert caplog.messages == ["plugin: " + line.removesuffix("\\n").strip()]

    def test_they_are_redacted_in_the_log_and_never_in_the_error(
        self, run: Run, plugin: Plugin, caplog: pytest.LogCaptureFixture
    ) -> None:
        plugin.says(
            "echo noise >&2; printf 'Bearer hunter2 \\033[31mtoken=hunter2 eyJhbGciOiJI.hunter2.x "
            "'\"$VALUE\"'\\nlogin failed\\n' >&2; exit 3"
        )
        user = {"env": [{"name": "VALUE", "value": "hunter2-env"}]}
        with pytest.raises(CredentialError) as caught:
            run(source(plugin, user=user).get())
        assert caught.value.message.endswith("failed with exit code 3")
        assert caught.value.cause == "exec-failed"
        assert caplog.messages == [
            "plugin: noise",
            "plugin: Bearer *** token=*** *** ***",
            "plugin: login failed",
        ]

    def test_a_signal_is_named(self, run: Run, plugin: Plugin) -> None:
        plugin.says("kill -9 $$")
        with pytest.raises(CredentialError, match="failed with signal 9"):
            run(source(plugin).get())

    def test_not_installed(
        self, run: Run, plugin: Plugin, caplog: pytest.LogCaptureFixture
    ) -> None:
        user = {"command": "no-such-plugin", "installHint": "Buy \033[8mone.\n"}
        environ = {"PATH": "/only/here"}
        with pytest.raises(CredentialError, match="exec: executable no-such-plugin not found") as c:
            run(source(plugin, user=user, environ=environ).get())
        assert r"Buy \x1b[8mone." in c.value.hint
        assert caplog.messages == ["no-such-plugin was not found with PATH=/only/here"]
        assert "/only/here" not in str(c.value)
        assert c.value.cause == "exec-not-found"

    def test_installed_later(self, run: Run, plugin: Plugin, clock: Clock) -> None:
        plugin.answers('{"token": "t"}')
        aside = plugin.path.rename(plugin.path.with_suffix(".aside"))

        async def install() -> Credential:
            asked = source(plugin, monotonic=clock)
            with pytest.raises(CredentialError, match="not found"):
                await asked.get()
            aside.rename(plugin.path)
            clock.now += 1
            return await asked.get()

        assert token(run(install())) == "Bearer t"

    def test_not_executable(self, run: Run, plugin: Plugin) -> None:
        plugin.path.chmod(0o644)
        with pytest.raises(CredentialError, match=r"fork/exec .*: permission denied"):
            run(source(plugin).get())

    def test_a_ca_too_large_for_the_environment(self, run: Run, plugin: Plugin) -> None:
        cluster = {"certificate-authority-data": base64.b64encode(b"x" * 150_000).decode()}
        asked = source(plugin, user={"provideClusterInfo": True}, cluster=cluster)
        with pytest.raises(CredentialError, match="argument list too long") as caught:
            run(asked.get())
        assert "128 KiB" in caught.value.hint

    def test_a_terminal_is_missing(self, run: Run, plugin: Plugin) -> None:
        with pytest.raises(CredentialError, match="standard input is not a terminal"):
            run(source(plugin, user={"interactiveMode": "Always"}).get())
        assert plugin.runs == 0


class TestProcesses:
    def test_one_that_hangs_is_ended_with_its_children(
        self, run: Run, plugin: Plugin, tmp_path: Path
    ) -> None:
        plugin.says(f"echo $$ > {tmp_path}/parent; sleep 300 & echo $! > {tmp_path}/child; wait")
        with pytest.raises(CredentialError, match=r"did not finish within 0\.5 seconds") as caught:
            run(source(plugin, exec_timeout=0.5).get())
        assert caught.value.cause == "exec-timeout"
        assert "--exec-timeout" in caught.value.hint
        assert ended(tmp_path / "parent")
        assert ended(tmp_path / "child")

    def test_one_that_ignores_the_request_to_end_is_forced(
        self, run: Run, plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kubelatch.credentials.exec_process.GRACE", 0.1)
        plugin.says(f"trap '' TERM; echo $$ > {tmp_path}/parent; while :; do sleep 300; done")
        with pytest.raises(CredentialError, match="did not finish"):
            run(source(plugin, exec_timeout=0.5).get())
        assert ended(tmp_path / "parent")

    @pytest.mark.parametrize("output", ["", ">&2", "2>&1", "2>/dev/null"])
    @pytest.mark.parametrize("session", ["", "setsid "])
    def test_a_browser_that_keeps_its_outputs_open_does_not_hold_us_and_lives(
        self, run: Run, plugin: Plugin, tmp_path: Path, output: str, session: str
    ) -> None:
        """What it writes later goes nowhere, and does not end it either."""
        go, written = tmp_path / "go", tmp_path / "written"
        os.mkfifo(go)
        plugin.answers(
            '{"token": "t"}',
            before=f"{session}sh -c 'echo $$ > {tmp_path}/browser; read _ < {go}; "
            f"echo x; echo x >&2; echo done > {written}; exec sleep 300' </dev/null {output} &"
            f"while ! [ -s {tmp_path}/browser ]; do sleep 0.01; done",
        )

        async def log_in() -> None:
            asked = source(plugin, exec_timeout=60)
            assert token(await asked.get()) == "Bearer t"
            await asked.close()
            await asyncio.to_thread(go.write_text, "\n")
            while not written.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        try:
            run(log_in())
        finally:
            os.kill(int((tmp_path / "browser").read_text()), signal.SIGKILL)

    def test_a_time_out_ends_the_plugin_and_not_the_users_browser(
        self, run: Run, plugin: Plugin, tmp_path: Path
    ) -> None:
        go, lives = tmp_path / "go", tmp_path / "lives"
        os.mkfifo(go)
        os.mkfifo(lives)
        plugin.says(
            f"sh -c 'read _ < {go}; echo yes > {lives}' </dev/null >&2 &"
            f"sh -c 'echo $$ > {tmp_path}/helper; exec sleep 300' &"
            f"echo $$ > {tmp_path}/parent; wait"
        )
        with pytest.raises(CredentialError, match="did not finish"):
            run(source(plugin, exec_timeout=0.5).get())
        assert ended(tmp_path / "parent")
        assert ended(tmp_path / "helper")
        # Opening it would wait for ever if there were nobody at the other end.
        os.close(os.open(go, os.O_WRONLY | os.O_NONBLOCK))
        assert lives.read_text() == "yes\n"

    def test_a_long_output_is_read_to_its_end_though_a_browser_holds_the_pipe(
        self, run: Run, plugin: Plugin, tmp_path: Path
    ) -> None:
        status = {"token": "t" * 500_000}
        answer = {"apiVersion": V1, "kind": "ExecCredential", "status": status}
        (tmp_path / "answer").write_text(json.dumps(answer))
        script = (
            "import fcntl, os, subprocess\n"
            "fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\n"
            f"answer = open({str(tmp_path / 'answer')!r}, 'rb').read()\n"
            "browser = subprocess.Popen(['sleep', '300'])\n"
            f"open({str(tmp_path / 'browser')!r}, 'w').write(str(browser.pid))\n"
            "os.write(1, answer)\n"
            "os._exit(0)\n"
        )
        user = {"command": sys.executable, "args": ["-c", script]}
        try:
            credential = run(source(plugin, user=user).get())
        finally:
            os.kill(int((tmp_path / "browser").read_text()), signal.SIGKILL)
        assert token(credential) == f"Bearer {status['token']}"

    def test_a_plugin_that_keeps_running_as_an_agent_has_completed(
        self, run: Run, plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kubelatch.credentials.exec_process.GRACE", 0.1)
        plugin.answers('{"token": "t"}')
        script = plugin.path.read_text()
        plugin.path.write_text(
            f"{script}echo $$ > {tmp_path}/pid; exec >&-; read _ < {tmp_path}/go\n"
        )
        os.mkfifo(tmp_path / "go")

        async def log_in() -> None:
            assert token(await source(plugin).get()) == "Bearer t"
            # It waits for this, so it has not ended yet.
            await asyncio.to_thread((tmp_path / "go").write_text, "\n")
            pid = int((tmp_path / "pid").read_text())
            while Path(f"/proc/{pid}").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        run(log_in())

    def test_one_that_closes_its_output_first_is_waited_for(self, run: Run, plugin: Plugin) -> None:
        plugin.answers('{"token": "t"}')
        script = plugin.path.read_text()
        plugin.path.write_text(f"{script}exec >&-; sleep 0.1; exit 7\n")
        with pytest.raises(CredentialError, match="exit code 7"):
            run(source(plugin).get())

    def test_without_pidfd_the_exit_is_polled(
        self, run: Run, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def none(_: int) -> int:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr("os.pidfd_open", none)
        plugin.answers('{"token": "t"}')
        assert token(run(source(plugin).get())) == "Bearer t"

    def test_pipes_of_abandoned_processes_are_bounded(
        self, run: Run, plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kubelatch.credentials.exec_process._MAX_ABANDONED", 2)
        plugin.answers('{"token": "t"}', before=f"sleep 300 & echo $! >> {tmp_path}/left")

        async def log_in(times: int) -> int:
            for _ in range(times):
                assert token(await source(plugin).get()) == "Bearer t"
            return len(os.listdir("/proc/self/fd"))

        try:
            before = run(log_in(1))
            assert run(log_in(3)) == before
        finally:
            for pid in (tmp_path / "left").read_text().split():
                os.kill(int(pid), signal.SIGKILL)

    def test_a_daemon_that_closed_its_output_does_not_delay_the_credential(
        self, run: Run, plugin: Plugin, tmp_path: Path
    ) -> None:
        plugin.answers(
            '{"token": "t"}',
            before=f"setsid sh -c 'echo $$ > {tmp_path}/daemon; exec sleep 300' "
            "</dev/null >/dev/null 2>&1 & sleep 0.1",
        )
        try:
            assert token(run(source(plugin, exec_timeout=30).get())) == "Bearer t"
        finally:
            os.kill(int((tmp_path / "daemon").read_text()), signal.SIGKILL)

    def test_closing_ends_it(self, run: Run, plugin: Plugin, tmp_path: Path) -> None:
        ready = tmp_path / "ready"
        os.mkfifo(ready)
        plugin.says(f"echo $$ > {tmp_path}/parent; echo > {ready}; exec sleep 300")

        async def close_meanwhile() -> None:
            asked = source(plugin)
            waiting = asyncio.create_task(asked.get())
            await asyncio.to_thread(ready.read_text)
            await asked.close()
            with pytest.raises(CredentialError, match="shutting down"):
                await waiting

        run(close_meanwhile())
        assert ended(tmp_path / "parent")

    def test_a_client_that_leaves_does_not_end_it(
        self, run: Run, plugin: Plugin, tmp_path: Path
    ) -> None:
        ready, go = tmp_path / "ready", tmp_path / "go"
        os.mkfifo(ready)
        os.mkfifo(go)
        plugin.answers('{"token": "t"}', before=f"echo > {ready}; read _ < {go}")

        async def leave() -> Credential:
            asked = source(plugin)
            leaves, stays = (asyncio.create_task(asked.get()) for _ in range(2))
            await asyncio.to_thread(ready.read_text)
            leaves.cancel()
            await asyncio.to_thread(go.write_text, "\n")
            return await stays

        assert token(run(leave())) == "Bearer t"
        assert plugin.runs == 1

    def test_it_inherits_no_descriptors_and_no_input(self, run: Run, plugin: Plugin) -> None:
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        try:
            plugin.answers(
                '{"token": "t"}', before='ls -l /proc/self/fd > "$0.fds"; cat > "$0.input"'
            )
            run(source(plugin).get())
        finally:
            os.close(reading)
            os.close(writing)
        lines = Path(f"{plugin.path}.fds").read_text().splitlines()
        numbers = {int(line.split(" -> ")[0].split()[-1]) for line in lines if " -> " in line}
        # 3 is what ls reads the directory with.
        assert numbers == {0, 1, 2, 3}
        assert Path(f"{plugin.path}.input").read_text() == ""

    def test_it_leads_a_session_of_its_own(self, run: Run, plugin: Plugin) -> None:
        plugin.answers('{"token": "t"}', before=f'{SESSION} > "$0.sid"; echo $$ > "$0.pid"')
        run(source(plugin).get())
        sid, pid = (int(Path(f"{plugin.path}.{name}").read_text()) for name in ("sid", "pid"))
        assert sid == pid

    def test_a_plugin_gets_the_kubeconfig_in_use(
        self, run: Run, plugin: Plugin, tmp_path: Path
    ) -> None:
        plugin.answers('{"token": "t"}', before='echo "$KUBECONFIG" > "$0.kubeconfig"')
        path = tmp_path / "chosen"
        run(source(plugin, overrides=Overrides(kubeconfig=str(path))).get())
        assert Path(f"{plugin.path}.kubeconfig").read_text().strip() == str(path)


class TestTerminal:
    def test_a_plugin_may_prompt_at_a_terminal(self, run: Run, plugin: Plugin) -> None:
        plugin.answers(
            '{"token": "t"}',
            before=f'{SESSION} > "$0.sid"; echo "$KUBERNETES_EXEC_INFO" > "$0.info"',
        )
        user = {"interactiveMode": "IfAvailable"}
        run(source(plugin, user=user, has_terminal=True).get())
        info = json.loads(Path(f"{plugin.path}.info").read_text())
        assert info["spec"]["interactive"] is True
        # It shares our session, or the terminal would not be its own.
        assert int(Path(f"{plugin.path}.sid").read_text()) == os.getsid(0)

    def test_one_that_hangs_is_ended_and_we_are_not(
        self, run: Run, plugin: Plugin, tmp_path: Path
    ) -> None:
        plugin.says(f"echo $$ > {tmp_path}/parent; exec sleep 300")
        user = {"interactiveMode": "Always"}
        with pytest.raises(CredentialError, match="did not finish"):
            run(source(plugin, user=user, has_terminal=True, exec_timeout=0.5).get())
        assert ended(tmp_path / "parent")

    def test_never_is_never(self, run: Run, plugin: Plugin) -> None:
        plugin.answers('{"token": "t"}', before='echo "$KUBERNETES_EXEC_INFO" > "$0.info"')
        run(source(plugin, has_terminal=True).get())
        assert '"interactive":false' in Path(f"{plugin.path}.info").read_text()


class TestPolicy:
    @pytest.mark.parametrize(
        ("command", "allowed"),
        [
            ("{dir}/tool", ("{dir}/tool",)),
            ("{dir}/./tool", ("{dir}/tool",)),
            ("tool", ("tool",)),
            ("tool", ("other", "{dir}/tool")),
            ("{dir}/tool", ("tool",)),
        ],
    )
    def test_an_entry_lets_a_plugin_run(
        self, command: str, allowed: tuple[str, ...], plugin: Plugin, tmp_path: Path
    ) -> None:
        (tmp_path / "tool").symlink_to(plugin.path)
        from kubelatch.credentials.exec_policy import look_up

        command = command.format(dir=tmp_path)
        rule = ExecRule(source="r", allowed=tuple(entry.format(dir=tmp_path) for entry in allowed))
        check_allowed(command, look_up(command, str(tmp_path)), [rule], str(tmp_path))

    @pytest.mark.parametrize(
        "rules",
        [
            (ExecRule(source="r"),),
            (ExecRule(source="r", allowed=("other",)),),
            (ExecRule(source="r", allowed=("plugin",)), ExecRule(source="s")),
        ],
    )
    def test_every_rule_must_agree(
        self, rules: tuple[ExecRule, ...], plugin: Plugin, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError, match="plugin"):
            check_allowed("plugin", str(plugin.path), rules, str(tmp_path))

    def test_a_plugin_that_may_not_run_is_refused_at_start(self, plugin: Plugin) -> None:
        with pytest.raises(ConfigError, match='not allowed: policy set to "DenyAll"') as caught:
            source(plugin, overrides=Overrides(no_exec=True))
        assert "--no-exec" in caught.value.hint
        with pytest.raises(ConfigError, match="not permitted by the credential plugin allowlist"):
            source(plugin, overrides=Overrides(exec_allow=("aws",)))
        assert plugin.runs == 0

    def test_one_that_may_runs(self, run: Run, plugin: Plugin) -> None:
        plugin.answers('{"token": "t"}')
        asked = source(plugin, overrides=Overrides(exec_allow=(str(plugin.path),)))
        assert token(run(asked.get())) == "Bearer t"


def test_the_status_tells_the_plugin_and_not_its_arguments(plugin: Plugin) -> None:
    asked = source(plugin, user={"args": ["--secret=hunter2"]})
    status = asked.describe()
    assert (status.kind, status.detail) == ("exec", str(plugin.path))
    assert "hunter2" not in repr(status)
    assert V1 not in status.last_error
