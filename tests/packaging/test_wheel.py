"""The wheel, as a stranger installs it: built from the source archive, run from an unrelated folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from support.callers import Caller, exchange, open_shop
from support.engine_process import EngineProcess

pytestmark = pytest.mark.timeout(900)  # it compiles everything

ROOT = Path(__file__).resolve().parents[2]


def _run(*command: str, cwd: Path, seconds: float = 250) -> str:
    environment = {**os.environ, "RINGUP_DEBUG": "1"}  # compiled without optimization: what is in it is the same
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=seconds, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, made from a copy so that this tree stays as it is."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("needs a C compiler")
    work = tmp_path_factory.mktemp("sdist")
    tracked = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (work / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, work / "tree" / name)
    script = "import sys, setuptools.build_meta as b; print(b.build_sdist(sys.argv[1]))"
    _run(sys.executable, "-c", script, str(work), cwd=work / "tree")
    (archive,) = work.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from nothing but the source archive."""
    work = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-build-isolation", "--no-deps"]
    _run(*pip, "--no-index", "-w", str(work), str(sdist), cwd=work)
    (built,) = work.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what it depends on comes from this one."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
    _run(*pip, "install", "--no-index", "--no-deps", str(wheel), cwd=folder)
    installed = sorted(path.name for path in site.iterdir())
    assert len(installed) == 2, f"expected ringup and its dist-info, found {installed}"
    assert installed[0] == "ringup"
    assert installed[1].endswith(".dist-info")
    # Dependencies last in the path, and without the editable install that stands there.
    (site / "dependencies.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    return folder / "bin" / "python"


def test_the_source_archive_has_sources_only(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert any(name.endswith("native/core.pyx") for name in names)
    assert any(name.endswith("protos/ringup/v1/sale.proto") for name in names)
    made = [name for name in names if name.endswith((".so", ".c", "_pb2.py", "_pb2_grpc.py", ".pyc"))]
    assert not made


def test_the_wheel_has_one_package_complete(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"ringup"}
    for wanted in ("ringup/v1/sale_pb2.py", "ringup/v1/sale_pb2_grpc.py", "ringup/native/core.pyi", "ringup/py.typed"):
        assert wanted in names, wanted
    compiled = {Path(name).name.split(".")[0] for name in names if name.endswith(".so")}
    assert compiled == {path.stem for path in (ROOT / "native").glob("*.pyx")}
    assert not [name for name in names if name.endswith((".c", ".pyx"))]


def test_it_is_the_installed_package_that_runs(python: Path, tmp_path: Path) -> None:
    out = _run(str(python), "-c", "import ringup.engine.cli as m, ringup.native.core; print(m.__file__)", cwd=tmp_path)
    assert Path(out.strip()).is_relative_to(python.parents[1])
    assert "Usage: ringup" in _run(str(python.parent / "ringup"), "--help", cwd=tmp_path)


def test_the_installed_engine_sells(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(python))
    caller = Caller(1, streams=True)
    with EngineProcess(tmp_path / "data") as engine:
        with engine.channel() as channel:
            open_shop(channel, 100)
            exchange(channel, [caller.make() for _ in range(20)])
        assert engine.stop() == 0
    assert all(len(sent.answers) == 1 for sent in caller.sent)
