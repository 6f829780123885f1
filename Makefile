# Habits. Logic belongs in Go; each recipe is a few lines. `make` alone lists them.
GOLANGCI = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
TIME    ?= 20m
SIM_TIME ?= 10m
RACE     = ./internal/peer ./internal/wal ./internal/task ./internal/vfs ./engine ./engine/internal/segment ./engine/internal/payload ./engine/internal/sparse ./internal/collection ./internal/node

.PHONY: help build run test race lint gen bench demo clients crash cluster bench-cluster bench-recovery bench-idle fire mission recovery sim rules slow chaos mutants
help: ## list these
	@grep -E '^[a-z-]+: .*##' Makefile | sed -E 's/: .*## /\t/' | expand -t 16
build: ## the program, into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/sextant ./cmd/sextant
run: ## a server on 127.0.0.1:6333 with its data in ./storage
	go run ./cmd/sextant
test: ## all tests
	go test ./...
race: ## the concurrent packages under the race detector
	go test -race -short $(RACE)
lint: ## gofmt, vet, golangci-lint
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	$(GOLANGCI) run ./...
gen: ## regenerate the assembly of package vec
	go generate ./engine/internal/vec
bench: ## the table of docs/bench.md: this engine and hnswlib in one run
	go run ./bench
bench-cluster: ## the tables of a cluster in docs/bench.md: 1 and 3 replicas beside a lone node, and consensus
	go run ./bench/cluster -write docs/bench.md
bench-recovery: ## the table and the figure of recoveries in docs: time and bytes over what was missed
	go run ./bench/recovery -write docs/bench.md -svg docs/recovery.svg
demo: ## nearest words, with and without a filter
	go run ./bench/demo
clients: ## install the official clients that test/clients runs
	test -x test/clients/.venv/bin/python || python3 -m venv test/clients/.venv
	test/clients/.venv/bin/python -c 'import qdrant_client' 2>/dev/null || test/clients/.venv/bin/pip install -q -r test/clients/python/requirements.txt
	test -d test/clients/js/node_modules || npm install --prefix test/clients/js --no-audit --no-fund --silent
crash: ## kill a loaded server 300 times and look for lost writes
	go test ./test/crash -count=1 -v -timeout 60m -rounds 300
cluster: ## lose, stop, cut off and restart peers, 10 rounds, against the goals for stalls; for a quiet machine
	go test ./test/cluster -count=1 -v -timeout 60m -rounds 10 -goals
bench-idle: ## what 1,000 shards cost a cluster in which nothing happens, and how soon it loses a peer
	go test ./test/cluster -run ManyShards -count=1 -v -shards 1000 -goals
chaos: ## the protocol of replication in random worlds, for TIME
	go test ./internal/replica -run 'TestChaos$$' -count=1 -v -timeout 0 -chaos.time $(TIME)
mutants: ## the same with one rule switched off after the other, each until it is missed, for TIME at most
	go test ./internal/replica -run TestChaosFindsMutants -count=1 -v -timeout 0 -chaos.mutants $(TIME)
fire: ## kill, stop, cut, slow and fill peers for TIME while clients write, and judge; the report goes to fire.md
	go test ./test/fire -count=1 -v -timeout 0 -time $(TIME) -report $(CURDIR)/fire.md
mission: ## the mission tests N times (30) on a machine that is kept busy
	test/acceptance-loop.sh $(or $(N),30)
recovery: ## stories of replicas that come back, in every pairing of who is lost, when, and in which transfer
	go test ./test/recovery -count=1 -v -timeout 30m -whole
sim: ## a simulated cluster under faults, fresh seeds for SIM_TIME; SEED=n repeats one story
	go test ./internal/sim -count=1 -v -timeout 0 $(if $(SEED),-run TestSeed -seed $(SEED),-run TestForAWhile -sim.time $(SIM_TIME))
rules: ## switch off the rules of replication one by one: does the simulation notice?
	go test ./internal/sim -count=1 -v -timeout 0 -run TestRules -sim.rules 2m
slow: ## the long tests
	go test -tags slow -timeout 60m ./...
