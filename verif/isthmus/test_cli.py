"""The command line: files, exit codes, messages of one line, no output left behind."""

import json
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from hw.isa.program import load
from isthmus import cli

MODEL = """module {
  func.func public @main(%arg0: tensor<4x8xf32>, %arg1: tensor<8x4xbf16>) -> tensor<4x4xf32> {
    %0 = stablehlo.convert %arg0 : (tensor<4x8xf32>) -> tensor<4x8xbf16>
    %1 = stablehlo.dot_general %0, %arg1, contracting_dims = [1] x [0]
        : (tensor<4x8xbf16>, tensor<8x4xbf16>) -> tensor<4x4xf32>
    return %1 : tensor<4x4xf32>
  }
}
"""
X = np.arange(32, dtype=np.float32).reshape(4, 8) - 16
W = (np.arange(32) % 5 - 2).reshape(8, 4).astype(ml_dtypes.bfloat16)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.mlir"
    path.write_text(MODEL)
    return path


@pytest.fixture
def program(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.isth"
    assert cli.main(["compile", str(model), "-o", str(path), "--config", "tiny"]) == 0
    return path


def _npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_compile_and_run(program: Path, tmp_path: Path) -> None:
    inputs = _npz(tmp_path / "in.npz", arg0=X, arg1=W)
    outputs = tmp_path / "out.npz"
    assert cli.main(["run", str(program), "--inputs", str(inputs), "--outputs", str(outputs)]) == 0
    with np.load(outputs) as file:
        assert np.array_equal(file["out0"], X @ W.astype(np.float32))


def test_bound_argument_is_no_input(model: Path, tmp_path: Path) -> None:
    path, weights = tmp_path / "bound.isth", _npz(tmp_path / "weights.npz", arg1=W)
    assert cli.main(["compile", str(model), "-o", str(path), "--config", "tiny",
                     "--bind", str(weights)]) == 0
    outputs = tmp_path / "out.npz"
    assert cli.main(["run", str(path), "--inputs", str(_npz(tmp_path / "in.npz", arg0=X)),
                     "--outputs", str(outputs)]) == 0
    with np.load(outputs) as file:
        assert np.array_equal(file["out0"], X @ W.astype(np.float32))


def test_objdump_names_tensors_and_instructions(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["objdump", str(program)]) == 0
    text = capsys.readouterr().out
    assert "4x8xf32" in text
    assert "configuration tiny" in text
    assert text.count(": halt") == 1
    assert len(load(program).text) == sum(line[2:8].strip().isdigit() for line in text.splitlines())


def test_ops_lists_each_operation_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ops"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["stablehlo.dot_general", "native"] in rows
    assert len({name for name, _ in rows}) == len(rows) > 100
    assert {kind for _, kind in rows} <= {"native", "composed", "unsupported"}


@pytest.mark.parametrize("text, message", [
    ("module {", "model.mlir:"),
    (MODEL.replace("stablehlo.convert", "stablehlo.frobnicate"), "frobnicate"),
    (MODEL.replace("xf32", "xf64"), "f64"),
    (MODEL.replace("%arg0: tensor<4x8xf32>", "%arg0: tensor<?x8xf32>"), "model.mlir:"),
])
def test_bad_model(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                   text: str, message: str) -> None:
    model.write_text(text)
    _refused(["compile", str(model), "-o", str(tmp_path / "out.isth")], message, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["model.mlir"]


@pytest.mark.parametrize("arguments, message", [
    (["compile", "missing.mlir", "-o", "x.isth"], "missing.mlir"),
    (["compile", "{model}", "-o", "{dir}/x.isth", "--config", "huge"], "unknown config 'huge'"),
    (["compile", "{model}", "-o", "{dir}/x.isth", "--bind", "{model}"], "not an .npz file"),
    (["compile", "{model}", "-o", "{dir}/none/x.isth"], "none"),
    (["run", "missing.isth"], "missing.isth"),
    (["run", "{model}"], "not an Isthmus program"),
    (["run", "{program}"], "arg0"),
    (["run", "{program}", "--inputs", "{shape}"], "shape (8, 4)"),
    (["run", "{program}", "--inputs", "{type}"], "type int32"),
    (["run", "{program}", "--inputs", "{extra}"], "arg2 is not an input"),
    (["run", "{program}", "--trace", "{dir}/t.json"], "--sim golden knows no time"),
    (["run", "{program}", "--sim", "model", "--trace", "{dir}/none/t.json"], "none"),
    (["report", "{program}", "-o", "{dir}/none/r.html"], "none"),
    (["report", "{program}", "-o", "{dir}/r.html", "--sim", "rtl"], "arg0"),
    (["report", "{model}", "-o", "{dir}/r.html"], "not an Isthmus program"),
    (["objdump", "{model}"], "not an Isthmus program"),
])
def test_bad_input(model: Path, program: Path, tmp_path: Path, arguments: list[str], message: str,
                   capsys: pytest.CaptureFixture[str]) -> None:
    names = {"model": model, "program": program, "dir": tmp_path,
             "shape": _npz(tmp_path / "shape.npz", arg0=X.reshape(8, 4), arg1=W),
             "type": _npz(tmp_path / "type.npz", arg0=X.astype(np.int32), arg1=W),
             "extra": _npz(tmp_path / "extra.npz", arg0=X, arg1=W, arg2=W)}
    before = sorted(tmp_path.iterdir())
    _refused([argument.format(**names) for argument in arguments], message, capsys)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("sim", ["model", "rtl"])
def test_trace(program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sim: str) -> None:
    inputs, trace = _npz(tmp_path / "in.npz", arg0=X, arg1=W), tmp_path / "trace.json"
    assert cli.main(["run", str(program), "--sim", sim, "--inputs", str(inputs),
                     "--trace", str(trace)]) == 0
    document = json.loads(trace.read_text())
    assert f"{document['otherData']['cycles']:,} cycles" in capsys.readouterr().out
    names = {event["name"] for event in document["traceEvents"] if event.get("cat") == "matmul"}
    assert len(names) == 1
    assert names.pop().endswith("model.mlir:4")
    assert {event["name"] for event in document["traceEvents"] if event["ph"] == "C"} == {
        "scratchpad bytes"}


@pytest.mark.parametrize("sim", ["model", "rtl"])
def test_report(program: Path, tmp_path: Path, sim: str) -> None:
    inputs, report = _npz(tmp_path / "in.npz", arg0=X, arg1=W), tmp_path / "report.html"
    given = ["--inputs", str(inputs)] if sim == "rtl" else []
    assert cli.main(["report", str(program), "-o", str(report), "--sim", sim, *given]) == 0
    text = report.read_text()
    assert "<h1>model.isth</h1>" in text
    assert {"rtl": "Measured on the RTL", "model": "Predicted by"}[sim] in text


def test_spans_are_named_after_operations(program: Path, tmp_path: Path) -> None:
    if "operations" not in load(program).notes:
        pytest.skip("the compiler does not note operations yet")
    trace = tmp_path / "trace.json"
    assert cli.main(["run", str(program), "--sim", "model", "--trace", str(trace)]) == 0
    names = {event["name"] for event in json.loads(trace.read_text())["traceEvents"]
             if event.get("cat") == "matmul"}
    assert len(names) == 1
    assert names.pop().startswith("dot_general")


def test_fault_on_the_device(program: Path, tmp_path: Path,
                             capsys: pytest.CaptureFixture[str]) -> None:
    broken = load(program)
    broken.text[:] = 0xFF
    broken.save(program)
    inputs = _npz(tmp_path / "in.npz", arg0=X, arg1=W)
    outputs = tmp_path / "out.npz"
    code = cli.main(["run", str(program), "--inputs", str(inputs), "--outputs", str(outputs)])
    assert code == 1
    assert "illegal error in the sequencer" in capsys.readouterr().err
    assert not outputs.exists()


def test_help_imports_nothing_heavy() -> None:
    script = ("import sys, isthmus.cli as c\n"
              "try: c.main(['--help'])\n"
              "except SystemExit: pass\n"
              "sys.exit(any(m in sys.modules for m in ('numpy', 'amaranth', 'jaxlib', 'xdsl')))")
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def _refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
