# Diffusion Soup: everything a fresh machine needs, from a virtual environment to a running demo.

PYTHON ?= python3
VENV   ?= .venv
# The version the test suite is run with; ComfyUI and the WebUI bring their own.
TORCH  ?= torch==2.13.0

PY    := $(VENV)/bin/python
READY := $(VENV)/ready.stamp

.DEFAULT_GOAL := help
.PHONY: help .venv gradios test test-engine test-slow demo bench lint clean comfyui

help:
	@echo 'make demo         a real ComfyUI with the pack, one soup cooked and one picture made (HEADLESS=1: then stop)'
	@echo 'make test         every test but the slow ones, against a real ComfyUI and real gradio'
	@echo 'make test-engine  the tests of the engine alone, in seconds'
	@echo 'make test-slow    the slow tests'
	@echo 'make bench        the figures in the benchmarks folder'
	@echo 'make lint         ruff and mypy'
	@echo 'make .venv        only the virtual environment (PYTHON=python3, VENV=.venv, TORCH=torch==2.13.0)'
	@echo 'make clean        remove the virtual environment, ComfyUI and the caches'

.venv: $(READY)

$(READY): pyproject.toml
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo 'Diffusion Soup needs Python 3.10 or newer, and there is no "$(PYTHON)" here. Install it, or name another: make PYTHON=/path/to/python'; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo 'Diffusion Soup needs Python 3.10 or newer, and $(PYTHON) is older. Name another: make PYTHON=/path/to/python'; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo '$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv'; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"
	"$(PY)" -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	"$(PY)" -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	@touch "$@"

comfyui: $(READY)
	@"$(PY)" -m demo.comfyui

# The versions of gradio that the WebUIs bring, each in its own virtual environment.
gradios: $(READY)
	@"$(PY)" -m tests.webui.venvs

test: comfyui gradios
	"$(PY)" -m pytest -m 'not slow'

test-engine: $(READY)
	"$(PY)" -m pytest -m 'not slow' tests/engine

test-slow: comfyui gradios
	"$(PY)" -m pytest -m slow

demo: comfyui
	@"$(PY)" -m demo.run $(if $(HEADLESS),--headless)

bench: comfyui
	"$(PY)" -m benchmarks

lint: $(READY)
	"$(PY)" -m ruff check .
	"$(PY)" -m mypy

clean:
	rm -rf "$(VENV)" .comfyui .comfyui-* .gradio .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
