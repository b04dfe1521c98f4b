# Planact. `make demo` and `make test` need python3 (3.11 or newer) and nothing else; `make help` lists the rest.

BIN := .venv/bin
ARGS ?=
# The tests start hundreds of interpreters, so compiled modules are kept whatever the environment says; each worker
# takes neighbouring tests, which share what a module has set up. One more than there are cores: some tests wait.
PYTEST := PYTHONDONTWRITEBYTECODE= PYTEST_XDIST_AUTO_NUM_WORKERS=$(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) \
	$(BIN)/python -m pytest --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo local test check lint types floors format constraints clean runtime dev

help: ## show this list
	@echo 'Planact: one MCP tool that runs Python plans over all your other tools.'
	@echo
	@sed -n 's/^\([a-z]*\):.*## /  make \1@/p' $(MAKEFILE_LIST) | awk -F@ '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo
	@echo 'Each sets up .venv first when it has to. ARGS goes on to the tool: make test ARGS="-k calendar".'
	@echo 'PYTHON=/path/to/python chooses the interpreter; uv is used where it is installed.'
	@echo 'The first `make test` compiles llama.cpp (minutes); LLAMA=skip leaves it out, and skips what needs it.'

demo: runtime ## run two plans over two tool servers, and show what comes back
	@$(BIN)/planact demo $(ARGS)

local: runtime ## get a model that plans on this machine: build llama.cpp, choose what fits, fetch it, run a task
	@$(BIN)/planact models setup $(ARGS)

test: dev ## run the tests (minutes)
	@$(PYTEST) -n auto $(ARGS)

check: dev ## run the tests that need Node, real third-party servers, or minutes
	@$(BIN)/python tests/check/servers.py
	@$(PYTEST) -m check -n auto $(ARGS)
	@$(PYTEST) -m 'hypothesis and not check' --hypothesis-profile=thorough -n auto $(ARGS)

lint: dev ## read the code for mistakes and the project's style
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: dev ## check the types as on Linux, macOS and Windows
	@for platform in Linux Darwin Windows; do \
		echo "pyright, $$platform:" && \
		$(BIN)/pyright --pythonpath $(BIN)/python --pythonplatform $$platform $(ARGS) || exit 1; \
	done

floors: dev ## check that imports only point down
	@$(BIN)/lint-imports

format: dev ## put the code into shape and repair what ruff can repair
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

constraints: ## choose the pinned versions anew, none younger than a week (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --all-extras --exclude-newer '1 week' --upgrade \
		--no-emit-index-url --annotation-style line --custom-compile-command 'make constraints' \
		--output-file constraints.txt pyproject.toml

clean: ## remove .venv and everything else that can be made again
	@rm -rf .venv .cache dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime dev:
	@sh .ci/setup $@
