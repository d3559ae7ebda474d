# Every command of this project: `make` lists them. CONTEXT=name picks a cluster of your kubeconfig,
# STACK=name another stack file.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
RUN := .venv/bin/python -m
INSTALL := $(RUN) pip install --quiet --disable-pip-version-check --requirement
# One marker for each file of requirements: the program's, which is all that `make up` takes, and the
# developers'. The lab imports no more than the program, and pins its own programs in lab/tools/.
VENV := .venv/.made
DEV := .venv/.dev

.PHONY: up
up: $(VENV) ## Bring MLflow up on minikube, or on the lab where there is none
	@$(RUN) commands.up

.PHONY: down
down: $(VENV) ## Remove everything `make up` made, and stop the lab
	@$(RUN) commands.down

.PHONY: status
status: $(VENV) ## Show what runs, and where
	@$(RUN) commands.status

.PHONY: env
env: $(VENV) ## Print exports for `pulumi` and `kubectl`: eval "$$(make -s env)"
	@$(RUN) commands.env

.PHONY: client-env
client-env: $(VENV) ## Print exports for an MLflow client: eval "$$(make -s client-env)"
	@$(RUN) commands.client_env

.PHONY: gc
gc: $(VENV) ## Remove for good what was deleted in MLflow: OLDER_THAN=30d, EXPERIMENTS=names
	@$(RUN) commands.gc

.PHONY: backup verify-backup
backup: $(VENV) ## Save databases, artifacts and keys
	@$(RUN) commands.backup
verify-backup: $(VENV) ## Restore the newest backup into a database of its own, and compare
	@$(RUN) commands.backup verify

.PHONY: restore
restore: $(VENV) ## List the backups, or bring one back: FROM=latest or a time, or AT=a moment; OVERWRITE=yes
	@$(RUN) commands.restore

.PHONY: rollback
rollback: $(VENV) ## Go back to the image and the tables before the last upgrade of MLflow
	@$(RUN) commands.rollback

.PHONY: rotate
rotate: $(VENV) ## Replace generated passwords and keys: WHAT=all, or WHAT=database,store,admin,page,kek,webhook
	@$(RUN) commands.rotate

.PHONY: drop-former-database
drop-former-database: $(VENV) ## Remove what an upgrade of PostgreSQL left on the volume: CONFIRM=yes
	@$(RUN) commands.drop_former_database

.PHONY: test
test: check test-unit ## Run every check and test, end to end on a real cluster
	@$(RUN) commands.test

.PHONY: check
check: $(DEV) ## Check format, lint and types: seconds, no cluster
	@$(MAKE) --jobs=2 --output-sync=target lint mypy pyright

.PHONY: lint mypy pyright
lint:
	@$(RUN) ruff format --quiet --check .
	@$(RUN) ruff check --quiet .
mypy pyright:
	@$(RUN) $@

.PHONY: test-unit
test-unit: $(DEV) ## Run the unit tests: seconds, no cluster
	@$(RUN) pytest --quiet --numprocesses=2 tests/unit

.PHONY: test-long
test-long: $(DEV) ## Run the tests that take too long for `make test`
	@$(RUN) commands.test -m long tests

# The targets test-unit and test-long are more specific, so that make prefers them.
test-%: $(DEV) ## Run one folder of tests: test-e2e, -hdfs, -lab, -library, -plugins, -rendered, -scan, -server; MARK=store picks some
	@$(RUN) commands.test $(if $(MARK),-m "$(MARK) and not long") tests/$*

.PHONY: reference
reference: $(VENV) ## Write docs/reference.md from the docstrings of the components
	@$(RUN) commands.reference

.PHONY: bench
bench: $(DEV) ## Measure times and memory, and print them as a table
	@$(RUN) bench

.PHONY: soak
soak: $(DEV) ## Inject faults while clients write, and report what was lost: FAULTS=300, MINUTES=n, PAIRS="postgres+minio"
	@$(RUN) harness.ledger $(if $(REPORT),--report $(REPORT)) $(if $(NOTES),--notes $(NOTES))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9%-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile | sed 's/\$$\$$/$$/'

# Nothing here may write to standard output: `make env` is evaluated by a shell.
$(VENV): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "error: Python 3.11 or newer is needed, as $(PYTHON) (PYTHON=... names another)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "error: $(PYTHON) cannot make virtual environments: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@echo "making the virtual environment .venv, usually 30 s ..." >&2
	@$(PYTHON) -m venv .venv >&2
	@$(INSTALL) requirements.txt >&2
	@touch $@

$(DEV): requirements-dev.txt $(VENV)
	@echo "installing what the checks and tests need into .venv, usually 15 s ..." >&2
	@$(INSTALL) requirements-dev.txt >&2
	@touch $@
