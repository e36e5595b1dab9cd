"""Build script: what pyproject.toml cannot express (Cython and protoc).

Folder names and import names differ (engine/ is ringup.engine), and Cython and type
checkers resolve names from paths, so the build stages a tree of links, build/tree/ringup,
that has the installed shape.  Set RINGUP_DEBUG=1 for bounds checks and debug symbols.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build as _build
from setuptools.command.build_ext import build_ext as _build_ext

ROOT = Path(__file__).parent.resolve()
TREE = ROOT / "build" / "tree"
PROTOS = ROOT / "protos"
DEBUG = os.environ.get("RINGUP_DEBUG") == "1"
# Not in the .pyx headers: a header would win over these and defeat RINGUP_DEBUG.
DIRECTIVES = {
    "language_level": "3",
    "cdivision": True,  # kernels assert their divisors; -7 / 2 is -3, see money.pxd
    "legacy_implicit_noexcept": False,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    # Not nonecheck: it needs the GIL, which the core does without.
    "embedsignature": True,
}
PACKAGE_DIR: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
C_FLAGS = (
    [] if os.name == "nt" else ["-O0", "-g"] if DEBUG else ["-O2", "-g0", "-fno-math-errno", "-Wno-unused-function"]
)


def stage_tree() -> Path:
    """Make build/tree/ringup look like the installed package; return build/tree."""
    shutil.rmtree(TREE, ignore_errors=True)
    package = TREE / "ringup"
    package.mkdir(parents=True)
    for name, folder in PACKAGE_DIR.items():
        source = ROOT / folder
        children = [source] if "." in name else [p for p in source.iterdir() if p.is_file()]
        for child in children:
            target = package / (name.partition(".")[2] if "." in name else child.name)
            try:
                target.symlink_to(child, target_is_directory=child.is_dir())
            except OSError:  # Windows without the symlink privilege
                (shutil.copytree if child.is_dir() else shutil.copy2)(child, target)
    return TREE


def write_contract() -> None:
    """Write native/contract.pxd: every field number and enum value of the protos, by name.

    The core reads and writes the wire format itself; this keeps the .proto files its only source.
    `SellRequest.lines` becomes `SellRequest_lines`, an enum value keeps its own name.
    """
    from importlib.resources import files

    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
    from grpc_tools import protoc

    image = ROOT / "build" / "contract.binpb"
    image.parent.mkdir(exist_ok=True)
    names = [str(p) for p in sorted(PROTOS.rglob("*.proto"))]
    include = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    if protoc.main(["protoc", *include, f"--descriptor_set_out={image}", *names]) != 0:
        raise SystemExit("protoc refused the .proto files; its messages are above")
    lines = ["# Made by setup.py from protos/; edit those.", "cdef enum:", "    CONTRACT = 1"]

    def add_message(prefix: str, message: DescriptorProto) -> None:
        lines.extend(f"    {prefix}{message.name}_{field.name} = {field.number}" for field in message.field)
        for enum in message.enum_type:
            lines.extend(f"    {value.name} = {value.number}" for value in enum.value)
        for nested in message.nested_type:
            add_message(f"{prefix}{message.name}_", nested)

    for file in FileDescriptorSet.FromString(image.read_bytes()).file:
        for message in file.message_type:
            add_message("", message)
        for enum in file.enum_type:
            lines.extend(f"    {value.name} = {value.number}" for value in enum.value)
    text, target = "\n".join(lines) + "\n", ROOT / "native" / "contract.pxd"
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


class build_ext(_build_ext):
    """Cythonize late, so that metadata-only commands need no compiler."""

    def finalize_options(self) -> None:
        from Cython.Build import cythonize

        write_contract()

        stamp = ROOT / "build" / "mode.txt"  # timestamps miss a change of flags
        mode = f"debug={DEBUG}"
        mode_changed = not stamp.exists() or stamp.read_text() != mode
        if any(s.endswith(".pyx") for e in self.distribution.ext_modules for s in e.sources):
            self.distribution.ext_modules[:] = cythonize(
                self.distribution.ext_modules,
                include_path=[str(stage_tree())],
                build_dir="build/cython",
                annotate=DEBUG,
                nthreads=os.cpu_count() or 1,
                force=mode_changed,
                compiler_directives=DIRECTIVES,
            )
            stamp.write_text(mode)
            self.force = mode_changed
        super().finalize_options()


class build_protos(Command):
    """Generate *_pb2 modules: next to the .proto files if editable, else into build_lib."""

    description = "generate protobuf modules"
    user_options: ClassVar[list[tuple[str, str, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib: str | None = None  # None, or set_undefined_options leaves it alone

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def _out(self) -> Path:
        return PROTOS if self.editable_mode else Path(self.build_lib or "build/lib")

    def _stems(self) -> list[Path]:
        return sorted(p.relative_to(PROTOS).with_suffix("") for p in PROTOS.rglob("*.proto"))

    def run(self) -> None:
        from importlib.resources import files

        from grpc_tools import protoc

        out = self._out()
        out.mkdir(parents=True, exist_ok=True)
        status = protoc.main(
            ["protoc", f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
            + [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
            + [str(PROTOS / stem.with_suffix(".proto")) for stem in self._stems()]
        )
        if status != 0:
            raise SystemExit(f"protoc failed with status {status}")

    def get_source_files(self) -> list[str]:
        return [str((PROTOS / s).with_suffix(".proto").relative_to(ROOT)) for s in self._stems()]

    def get_outputs(self) -> list[str]:
        ends = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")
        return [f"{self._out() / stem}{end}" for stem in self._stems() for end in ends]

    def get_output_mapping(self) -> dict[str, str]:
        lib = Path(self.build_lib or "build/lib")
        return {str(lib / Path(o).relative_to(PROTOS)): o for o in self.get_outputs()} if self.editable_mode else {}


class build(_build):
    sub_commands: ClassVar[list[tuple[str, None]]] = [("build_protos", None), *_build.sub_commands]

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)  # or deleted modules ship
        super().run()


(ROOT / "build").mkdir(exist_ok=True)
setup(
    options={
        "egg_info": {"egg_base": "build"},  # keep *.egg-info off sys.path at the root
        "build_ext": {"parallel": os.cpu_count()},
    },
    cmdclass={"build": build, "build_ext": build_ext, "build_protos": build_protos},
    ext_modules=[
        Extension(f"ringup.native.{pyx.stem}", [f"native/{pyx.name}"], extra_compile_args=C_FLAGS)
        for pyx in sorted((ROOT / "native").glob("*.pyx"))
    ],
)
