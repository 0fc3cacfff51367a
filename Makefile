# Diffusion Soup: everything a fresh machine needs, from a virtual environment to a running demo.

PYTHON ?= python3
VENV   ?= .venv
# The version the test suite is run with; ComfyUI and the WebUI bring their own.
TORCH  ?= torch==2.13.0

PY    := $(VENV)/bin/python
READY := $(VENV)/ready.stamp

.DEFAULT_GOAL := help
.PHONY: help .venv gradios test test-webui test-comfy test-engine test-browser test-js test-slow demo screenshots bench lab lint lint-js clean comfyui browser

help:
	@echo 'make demo         a real ComfyUI with the pack, one soup cooked and one picture made (HEADLESS=1: then stop)'
	@echo 'make test         every test but the slow ones, against a real ComfyUI and real gradio'
	@echo 'make test-engine  the tests of the engine alone, in seconds; test-comfy, test-browser and test-webui are the others'
	@echo 'make test-js      the unit tests of js/lib alone, by node, in a second'
	@echo 'make test-slow    the slow tests'
	@echo 'make screenshots  the pictures of the editors in docs, from a real ComfyUI and in real gradio'
	@echo 'make bench        the figures in the benchmarks folder'
	@echo 'make lab          the study: the claims of the papers measured in a small world (SEEDS=3; goes on where it stopped)'
	@echo 'make lint         ruff, mypy, and the types in js/ (make lint-js)'
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

# Chromium and node, from Debian's packages; where that cannot be, it says what is left out and how to get it.
browser: $(READY)
	@"$(PY)" -m demo.browser

# The versions of gradio that the WebUIs bring, each in its own virtual environment.
gradios: $(READY)
	@"$(PY)" -m tests.webui.venvs

# Three at a time, because each of them waits half of its time for a server or a page, and two cores are enough for that:
# the longest begin, and each reports when it is done.
AT_ONCE := --jobs=3 --keep-going $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test: comfyui browser gradios
	@$(MAKE) --no-print-directory $(AT_ONCE) test-comfy test-browser test-webui test-engine test-js

test-comfy: comfyui
	"$(PY)" -m pytest -m 'not slow' tests/comfy tests/gpu

test-engine: $(READY)
	"$(PY)" -m pytest -m 'not slow' tests/engine

test-browser: comfyui browser
	"$(PY)" -m pytest -m 'not slow' tests/browser

test-webui: browser gradios
	"$(PY)" -m pytest -m 'not slow' tests/webui

test-js: browser
	@"$(PY)" -m demo.browser tests/js/*.test.mjs

test-slow: comfyui browser gradios
	"$(PY)" -m pytest -m slow

demo: comfyui
	@"$(PY)" -m demo.run $(if $(HEADLESS),--headless)

screenshots: comfyui browser gradios
	@"$(PY)" -m demo.pictures docs
	@"$(PY)" -m demo.examples
	@"$(PY)" -m demo.screenshots
	@"$(PY)" -m demo.screenshots_webui

bench: comfyui browser
	"$(PY)" -m benchmarks

SEEDS ?= 3
lab: $(READY)
	"$(PY)" -m diffusion_soup lab study --seeds $(SEEDS) --out docs/lab

lint: $(READY) lint-js
	"$(PY)" -m ruff check .
	"$(PY)" -m mypy

# The types in js/, by the TypeScript compiler; nothing else needs npm.
lint-js:
	@if command -v npm >/dev/null 2>&1; \
	then npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error && npx tsc; \
	else echo 'The types in js/ are not checked: there is no npm here. Fix: apt-get install npm.'; fi

clean:
	rm -rf "$(VENV)" .comfyui .comfyui-* .gradio node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
