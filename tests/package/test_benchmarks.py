"""The benchmarks measure what they say, and their table says what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import nginx, wrk
from benchmarks.__main__ import _present
from benchmarks.accounting import Process
from benchmarks.metrics import METRICS, Target
from benchmarks.peers import CHECKOUT, COMPILED, KUBECTL, KUBELATCH, NGINX, KubectlProxy, Kubelatch
from benchmarks.plan import FULL
from benchmarks.results import Ratio, Results
from benchmarks.table import Table, put

_RATE = "requests.16.rate"
_MEMORY = "watches.memory"


def _results(*figures: tuple[str, str, float]) -> Results:
    """Of one round each, in the order given."""
    results = Results()
    for peer, key, value in figures:
        number = sum(s.peer == peer and s.key == key for s in results.samples)
        results.add(number, peer, {key: value})
    return results


def _cells(results: Results, ours: tuple[str, ...] = (KUBELATCH,)) -> list[list[str]]:
    lines = str(Table(results, FULL, ours)).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_ratio_is_of_one_round_so_that_a_disturbed_one_counts_once() -> None:
    results = _results(
        *((KUBECTL, _RATE, value) for value in (100.0, 10.0, 100.0)),
        *((KUBELATCH, _RATE, value) for value in (200.0, 20.0, 300.0)),
    )
    assert results.ratio(_RATE, KUBELATCH, KUBECTL) == Ratio(median=2, low=2, high=3)


def test_a_round_that_one_of_the_two_missed_is_in_no_ratio() -> None:
    results = _results((KUBECTL, _RATE, 100), (KUBELATCH, _RATE, 200), (KUBELATCH, _RATE, 900))
    assert results.ratio(_RATE, KUBELATCH, KUBECTL) == Ratio(median=2, low=2, high=2)


@pytest.mark.parametrize(
    ("key", "kubectl", "kubelatch", "met"),
    [
        pytest.param(_RATE, 100, 160, "yes", id="ratio reached"),
        pytest.param(_RATE, 100, 159, "**no**", id="ratio missed"),
        pytest.param(_MEMORY, 10, 20, "yes", id="figure within, however little kubectl needs"),
        pytest.param(_MEMORY, 100, 21, "**no**", id="figure beyond, however much kubectl needs"),
    ],
)
def test_the_table_says_whether_a_target_is_met(
    key: str, kubectl: float, kubelatch: float, met: str
) -> None:
    head, _, row = _cells(_results((KUBECTL, key, kubectl), (KUBELATCH, key, kubelatch)))
    assert head[-1] == "met?"
    assert row[-1] == met


def test_without_kubectl_there_is_no_ratio_and_no_verdict() -> None:
    head, _, row = _cells(_results((KUBELATCH, _RATE, 500)))
    found = dict(zip(head, row, strict=True))
    assert found[KUBELATCH] == "500"
    assert found[KUBECTL] == found["ratio"] == found["met?"] == ""


def test_a_second_tree_is_compared_with_the_first() -> None:
    head, _, row = _cells(_results(("old", _RATE, 100), ("new", _RATE, 150)), ("old", "new"))
    assert dict(zip(head, row, strict=True))["new ÷ old"].startswith("1.50 (")


def _least(value: float) -> str:
    return str(Target(bound="≥", value=value))


@pytest.mark.parametrize(("rate", "met"), [(190, "yes"), (189, "**no**")])
def test_the_compiled_build_has_targets_of_its_own(rate: float, met: str) -> None:
    results = _results((KUBECTL, _RATE, 100), (KUBELATCH, _RATE, 160), (COMPILED, _RATE, rate))
    head, _, row = _cells(results, (KUBELATCH, COMPILED))
    pure, compiled = (i for i, cell in enumerate(head) if cell == "met?")
    assert head[compiled - 2] == "compiled: ratio"
    assert row[pure - 1 : pure + 1] == [_least(1.6), "yes"]
    assert row[compiled - 1 : compiled + 1] == [_least(1.9), met]


def test_every_line_of_the_table_has_a_label_of_its_own_key() -> None:
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    assert "{" not in "".join(metric.label(FULL) for metric in METRICS)


def test_the_document_has_a_place_for_the_table_and_keeps_the_rest() -> None:
    document = (CHECKOUT / "docs" / "performance.md").read_text()
    once = put("| the table |", document)
    assert "\n| the table |\n" in once
    assert put("| another |", once) == put("| another |", document)
    before, after = document.split("<!-- last run: begin -->")[0], document.split("end -->")[1]
    assert once.startswith(before)
    assert once.endswith(after)


def test_a_document_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the table"):
        put("| the table |", "# Performance\n")


@pytest.mark.parametrize("where", ["proxy/kubelatch", "kubelatch"])
def test_the_tree_that_was_asked_for_is_measured_not_that_of_the_working_directory(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / where
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("print('kubelatch 99.9')")
    monkeypatch.chdir(CHECKOUT)
    assert Kubelatch(tree=tmp_path).version() == "99.9"


def test_cpu_time_is_that_of_a_process_and_its_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass\n"
    rest = "import sys; print(flush=True); sys.stdin.read()"
    inner = f"{burn}{rest}"
    outer = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        used = Process(process.pid)
        assert used.cpu() > 0.2
        assert used.memory() > 1_000_000
        process.stdin.close()  # type: ignore[union-attr]


def test_who_is_not_installed_is_said() -> None:
    results = Results()
    assert _present([KubectlProxy(binary=""), Kubelatch()], results) == [Kubelatch()]
    (remark,) = results.remarks
    assert remark.startswith("MISSING: kubectl proxy")


@pytest.mark.skipif(
    not (nginx.version() and wrk.version()), reason="needs nginx and wrk: apt install nginx wrk"
)
def test_one_command_measures_everybody(tmp_path: Path) -> None:
    raw = tmp_path / "raw.json"
    command = [sys.executable, "-m", "benchmarks", "tunnels", "--quick", f"--json={raw}"]
    reported = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert reported.returncode == 0, reported.stdout + reported.stderr
    assert "| tunnel down, 64 MB, MB/s" in reported.stdout
    figures = {
        sample["peer"]: sample["value"]
        for sample in json.loads(raw.read_text())["samples"]
        if sample["key"] == "tunnels.up.rate"
    }
    assert figures.keys() == {KUBELATCH, KUBECTL, NGINX}
    assert min(figures.values()) > 0


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["nonsense"], id="a row that there is not"),
        pytest.param(["--tree=/"], id="a tree that is none"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(arguments: list[str]) -> None:
    reported = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        check=False,
    )
    assert reported.returncode == 2
    assert arguments[0].removeprefix("--tree=") in reported.stderr
