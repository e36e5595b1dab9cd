# Each target teaches one thing; CI calls the same ones.  `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.dev
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
SOURCES := setup.py pyproject.toml $(wildcard native/*.pyx native/*.pxd protos/ringup/v1/*.proto)

help:            ## list what make can do
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/: *[^#]*##/\t/' | expand -t 18
$(READY): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) "setuptools>=77" "cython>=3.1,<4" grpcio-tools==1.74.0 "protobuf<7"
	$(PIP) --no-build-isolation "protobuf<7" -e ".[demo]"
	touch $@
# django-haystack comes as source only; what it asks for to be built must be there, as nothing is built in isolation.
$(DEV): $(READY)
	$(PIP) "setuptools-scm>=8"
	$(PIP) --no-build-isolation "protobuf<7" -e ".[import,bench,test,lint,types,devices]"
	touch $@
build: $(READY)  ## make the environment, compile the core, generate the protobuf modules
demo: $(READY)   ## sell a real week of groceries through a fresh engine and prove the books
	$(BIN)/ringup demo $(ARGS)
test: $(DEV)     ## run the whole test suite
	$(BIN)/python -m pytest -q $(ARGS)
lint: $(DEV)     ## style of Python, Cython and the wire contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(BIN):$$PATH" cython-lint native
	$(BIN)/buf lint protos
types: $(DEV)    ## strict static types
	$(BIN)/mypy
bench: $(DEV)    ## measure beside peers and floors; results in build/bench
	$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(ARGS)
bench-compare: $(DEV)  ## kernels now beside the stored baseline: what did a change do
	$(BIN)/python -m bench.compare $(ARGS)
clean:           ## forget everything built
	rm -rf build $(VENV) native/*.so native/*.c native/contract.pxd
	find protos -name '*_pb2*' -delete
.PHONY: help build demo test lint types bench bench-compare clean
