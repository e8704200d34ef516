# Two commands are all a user needs: `make serve` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PORT   ?= 8501
# More words for the server, as in: make serve SERVE="--allow recordings=/data/recordings"
SERVE  ?=
# A test run that hangs must fail, not wait: the whole suite gets this many seconds.
TEST_SECONDS ?= 1500
PYTEST := $(BIN)/python -m pytest

.PHONY: serve test test-heavy check bench browser label-studio clean pictures

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "castle-studio needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@echo "Making the environment in $(VENV): about 3 GB, some minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev,sleap]'
	touch $@

serve: $(VENV)/.ready
	$(BIN)/castle serve --port $(PORT) $(SERVE)

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell castle_core ui pages app.py docs README.md CHANGELOG.md CONTRIBUTING.md

browser: $(VENV)/.ready
	-@scripts/install_browser.sh

# The real Label Studio that its tests talk to, in an environment of its own outside the project.
label-studio:
	-@scripts/install_label_studio.sh

# Browser and kill tests depend on timing: on a busy machine a test gets up to two more tries, and the summary names it.
test: $(VENV)/.ready browser label-studio
	timeout --kill-after=30 $(TEST_SECONDS) $(PYTEST) -m "not heavy" -n 2 --dist loadgroup --reruns 2 -r R

test-heavy: $(VENV)/.ready browser label-studio
	$(PYTEST) -m heavy

bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks

pictures: $(VENV)/.ready browser
	$(BIN)/python scripts/make_pictures.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis test-artifacts
