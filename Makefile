# Vitrine. One plain Makefile: `make help` lists what it does.
#
# Every variant of the build lives in build/<variant>/ (release, asan, tsan, fuzz) and may be built beside the
# others. On a machine that has nothing but make, `make run` and `make check` install what they need first;
# therefore nothing here calls a compiler or pkg-config before a recipe needs the answer.

VARIANT ?= release
PORT    ?= 8080
IMAGES  ?=
prefix  ?= /usr/local
sysconfdir ?= $(if $(filter /usr,$(prefix)),/etc,$(prefix)/etc)
mandir  ?= $(prefix)/share/man
unitdir ?= $(prefix)/lib/systemd/system

B := build/$(VARIANT)

# Debian's own Python: a `python3` earlier in PATH may lack Debian's packages.
PYTHON := /usr/bin/python3

# Source folders. ONLY="cache worker/image" restricts check-unit to the tests of these folders and to what these may include,
# so that one module can be worked on while another does not compile.
FOLDERS := base master shm cache worker $(patsubst %/,%,$(wildcard worker/*/))
ONLY    ?=
SRCS    := $(foreach dir,$(if $(ONLY),$(shell $(PYTHON) tests/layers --below $(ONLY)),$(FOLDERS)),$(wildcard $(dir)/*.c))
OBJS    := $(SRCS:%.c=$B/%.o)
PARTS   := $(filter-out $B/master/main.o,$(OBJS))
ARCHIVE := $B/vitrine$(if $(ONLY),-only).a

UNIT_SRCS := $(wildcard $(if $(ONLY),$(foreach dir,$(ONLY),tests/unit/$(notdir $(dir))/test_*.c),tests/unit/*/test_*.c))
UNITS     := $(UNIT_SRCS:tests/%.c=$B/tests/%)
FUZZ_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
BROWSER   := $(if $(wildcard tests/browser/test_*.py),browser)
REPLAYS   := $(FUZZ_SRCS:tests/fuzz/fuzz_%.c=$B/tests/fuzz/replay_%)

# libraries ----------------------------------------------------------------------------------------------------

PKGS := libmicrohttpd libtiff-4 libjpeg lcms2 libconfig libzstd libwebp libwebpmux libpng libavif jansson \
        libseccomp libxxhash lmdb libpcre2-8 libexif libiptcdata exempi-2.0 libcurl nettle zlib

# Asked once, when the first recipe needs it.
pkg_config = $(shell pkg-config $(1))$(if $(filter 0,$(.SHELLSTATUS)),,$(error A library is missing: run "make deps"))
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(call pkg_config,--cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(call pkg_config,--libs $(PKGS)) -lgif -lcsv -lpthread -lm)$(PKG_LIBS)

# flags --------------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wcast-qual -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2 \
            -Wconversion -Wpointer-arith -Wwrite-strings -Wundef -Wimplicit-fallthrough
ifneq ($(filter 1 true yes,$(CI)),)
WARNINGS += -Werror
endif

HARDEN         := -fstack-protector-strong -D_FORTIFY_SOURCE=2
CFLAGS_release := -O2 $(HARDEN)
CFLAGS_asan    := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
# Its gcc warns of each atomic_thread_fence(), which it does not see. Those of shm/blobs.c stand beside data that is atomic itself: no report is
# missed or made up for want of them.
CFLAGS_tsan    := -O1 -fno-omit-frame-pointer -fsanitize=thread -Wno-tsan
CFLAGS_fuzz    := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
                  -fno-sanitize-recover=undefined

ifeq ($(VARIANT),fuzz)
CC := clang
else ifeq ($(origin CC),default)
CC := gcc
endif

BASE_CFLAGS = -std=c17 -D_GNU_SOURCE -g -I. $(WARNINGS) -fPIE $(CFLAGS_$(VARIANT)) $(CFLAGS)
ALL_CFLAGS  = $(BASE_CFLAGS) $(PKG_CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(filter -fsanitize%,$(CFLAGS_$(VARIANT))) $(LDFLAGS)

ifeq ($(filter $(VARIANT),release asan tsan fuzz),)
$(error VARIANT=$(VARIANT) is not one of release asan tsan fuzz)
endif

# As many jobs as processors, unless the caller said otherwise.
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all binary run deb check check-deb check-container check-layers check-unit check-corpus check-http unit-programs corpus-programs \
        asan tsan tidy format bench fuzz install deps deps-test samples clean help force

# what people call ---------------------------------------------------------------------------------------------

all: vitrine ## build ./vitrine (the default)

run: ## install what is missing, build, fetch the sample photographs, serve them (PORT=8080), or a folder (IMAGES=/srv/images)
	@deploy/dependencies/install build $(if $(IMAGES),,run)
	@$(MAKE) --no-print-directory $(if $(IMAGES),$(JOBS) vitrine,samples)
	@deploy/samples/serve ./vitrine $(PORT) '$(IMAGES)'

check: ## install what the tests need, build, run every test
	@deploy/dependencies/install build test package $(BROWSER)
	@$(MAKE) --no-print-directory $(JOBS) binary unit-programs corpus-programs
	@$(PYTHON) tests/run $(VARIANT) layers unit corpus pytest

check-layers: ## only: who may include whom
	@$(PYTHON) tests/layers

check-unit: ## only: the unit tests (ONLY="base worker/image" for these folders alone)
	@$(MAKE) --no-print-directory $(JOBS) unit-programs
	@$(PYTHON) tests/run $(VARIANT) unit --folders "$(ONLY)"

check-corpus: ## only: replay what the fuzzers found
	@$(MAKE) --no-print-directory $(JOBS) corpus-programs
	@$(PYTHON) tests/run $(VARIANT) corpus

check-http: ## only: the tests against a running server (T=tests/http/test_x.py, PYTEST="-k name -x")
	@$(MAKE) --no-print-directory $(JOBS) binary
	@$(PYTHON) tests/run $(VARIANT) pytest --paths "$(or $(T),tests/http)" -- $(PYTEST)

asan: ## every test with AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory VARIANT=asan check

tsan: ## unit and HTTP tests with ThreadSanitizer (no pixels, no browser: they add time, not threads)
	@deploy/dependencies/install build test
	@$(MAKE) --no-print-directory VARIANT=tsan $(JOBS) binary unit-programs
	@$(PYTHON) tests/run tsan unit pytest --paths tests/http

tidy: ## clang-format and clang-tidy over our C; nothing is changed
	@deploy/dependencies/install build test develop
	clang-format --dry-run -Werror $(TIDY_FILES)
	clang-tidy --quiet --warnings-as-errors='*' $(filter %.c,$(TIDY_FILES)) -- $(BASE_CFLAGS) $(PKG_CFLAGS)

format: ## let clang-format rewrite our C
	@deploy/dependencies/install develop
	clang-format -i $(TIDY_FILES)

bench: ## measure beside IIPImage (QUICK=1, IIPSRV=/path/iipsrv.fcgi, CLASSES="tile mix": see tests/bench/run)
	@deploy/dependencies/install build bench
	@$(MAKE) --no-print-directory $(JOBS) vitrine
	@tests/bench/run ./vitrine
	@tests/bench/ingest ./vitrine
	@$(MAKE) --no-print-directory samples
	@tests/bench/redirects --program ./vitrine $(if $(QUICK),--requests 500 --rounds 1)
	@tests/bench/crash_cost --program ./vitrine $(if $(QUICK),--rounds 3)
	@tests/bench/cold_store --program ./vitrine $(if $(QUICK),--rounds 3)

fuzz: ## fuzz one parser: T=iiif_request SECS=60
	@if [ -z "$(T)" ] || [ ! -f "tests/fuzz/fuzz_$(T).c" ]; then \
	   echo "make fuzz T=NAME [SECS=60]; NAME is one of: $(FUZZ_SRCS:tests/fuzz/fuzz_%.c=%)" >&2; exit 2; fi
	@deploy/dependencies/install build develop
	@$(MAKE) --no-print-directory VARIANT=fuzz $(JOBS) build/fuzz/tests/fuzz/fuzz_$(T)
	@mkdir -p build/fuzz/found/$(T) build/fuzz/crashes/$(T) tests/fuzz/corpus/$(T)
	build/fuzz/tests/fuzz/fuzz_$(T) -max_total_time=$(or $(SECS),60) -timeout=10 -rss_limit_mb=2048 \
	    -artifact_prefix=build/fuzz/crashes/$(T)/ $(if $(wildcard tests/fuzz/$(T).dict),-dict=tests/fuzz/$(T).dict) \
	    build/fuzz/found/$(T) tests/fuzz/corpus/$(T)

install: vitrine ## install program, man page, sample configuration and systemd units (DESTDIR, prefix)
	install -D -m 755 vitrine '$(DESTDIR)$(prefix)/bin/vitrine'
	for page in vitrine.1 vitrine-ingest.1 vitrine-manifest.1 vitrine.conf.5; do \
	    ./vitrine --print-man-page "$${page%.*}" > $B/$$page && \
	    install -D -m 644 $B/$$page "$(DESTDIR)$(mandir)/man$${page##*.}/$$page" || exit 1; done
	./vitrine --print-sample-config > $B/vitrine.conf.sample
	install -D -m 644 $B/vitrine.conf.sample '$(DESTDIR)$(sysconfdir)/vitrine.conf.sample'
	sed 's|@bindir@|$(prefix)/bin|; s|@sysconfdir@|$(sysconfdir)|' deploy/systemd/vitrine.service.in > $B/vitrine.service
	install -D -m 644 $B/vitrine.service '$(DESTDIR)$(unitdir)/vitrine.service'
	install -D -m 644 deploy/logrotate/vitrine '$(DESTDIR)$(sysconfdir)/logrotate.d/vitrine'
	install -D -m 644 deploy/systemd/vitrine.socket '$(DESTDIR)$(unitdir)/vitrine.socket'
	install -D -m 644 $(dir $(ZOOM))LICENSE.txt '$(DESTDIR)$(prefix)/share/doc/vitrine/openseadragon-LICENSE.txt'

deb: ## build the Debian package ./vitrine_VERSION_ARCH.deb, and look at it with lintian
	@deploy/dependencies/install build package
	@$(MAKE) --no-print-directory $(JOBS) vitrine
	@deploy/deb
	@lintian --fail-on error,warning vitrine_*.deb

check-deb: ## install, serve, reload, upgrade and remove the package in a Debian that boots (as root; the first time it fetches one)
	@deploy/dependencies/install build package boot test
	@$(MAKE) --no-print-directory $(JOBS) vitrine
	@deploy/deb '' build
	@tests/package/boot build/vitrine_*.deb
	@tests/package/boot_ec2 build/vitrine_*.deb

check-container: ## build deploy/container and run it (as root)
	@deploy/dependencies/install build test container
	@$(MAKE) --no-print-directory $(JOBS) vitrine
	@tests/package/container

deps: ## install the packages that the build needs
	@deploy/dependencies/install build

deps-test: ## install the packages that build and tests need
	@deploy/dependencies/install build test $(BROWSER)

samples: ## fetch the sample photographs from Debian packages and make pyramids of them
	@deploy/dependencies/install build run
	@$(MAKE) --no-print-directory $(JOBS) vitrine
	@deploy/samples/make samples ./vitrine

clean: ## remove what was built (the samples stay)
	rm -rf build vitrine

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | \
	    while IFS='|' read -r name text; do printf 'make %-13s %s\n' "$$name" "$$text"; done

# how it is built ----------------------------------------------------------------------------------------------

vitrine: build/release/vitrine
	@install -m 755 $< $@

binary: $B/vitrine $(if $(filter release,$(VARIANT)),vitrine)

unit-programs: $(UNITS)

corpus-programs: $(REPLAYS)

# Objects are made again when the flags or the compiler changed, and programs when a source was added or removed,
# not only when a source changed. Each of these two files changes only when its text does.
$B/flags: force
	@$(call keep,$(CC) $(ALL_CFLAGS))

$B/sources$(if $(ONLY),-only): force
	@$(call keep,$(SRCS))

keep = mkdir -p $(@D); echo '$(1)' | cmp -s - $@ || echo '$(1)' > $@

# The pages and the deep-zoom viewer lie in the program (worker/web/embedded.c). A viewer that could not be fetched is empty and older than
# the script, so that the next make tries again.
ZOOM := build/openseadragon/openseadragon.min.js
$(ZOOM): deploy/dependencies/openseadragon
	@$< $(@D)

$B/worker/web/embedded.o: $(ZOOM) $(wildcard worker/web/pages/*)

# Each result is renamed into place when it is whole: an interrupted or a second make never leaves half a file.
$B/%.o: %.c $B/flags
	@mkdir -p $(@D)
	@echo "CC $(VARIANT) $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@.$$$$ && mv $@.$$$$ $@

$B/vitrine: $(OBJS) $B/sources
	@echo "LD $@"
	@$(CC) $(ALL_LDFLAGS) $(OBJS) -o $@.$$$$ $(PKG_LIBS) && mv $@.$$$$ $@

# The server without its main(), for the programs of the tests.
$(ARCHIVE): $(PARTS) $B/sources$(if $(ONLY),-only)
	@mkdir -p $(@D)
	@rm -f $@.$$$$; ar rcs $@.$$$$ $(PARTS) && mv $@.$$$$ $@

$(UNITS): $B/tests/%: $B/tests/%.o $(ARCHIVE)
	@echo "LD $@"
	@$(CC) $(ALL_LDFLAGS) $< $(ARCHIVE) -o $@.$$$$ $(PKG_LIBS) -lcmocka && mv $@.$$$$ $@

$(REPLAYS): $B/tests/fuzz/replay_%: $B/tests/fuzz/fuzz_%.o $B/tests/fuzz/replay.o $(ARCHIVE)
	@echo "LD $@"
	@$(CC) $(ALL_LDFLAGS) $(filter %.o,$^) $(ARCHIVE) -o $@.$$$$ $(PKG_LIBS) && mv $@.$$$$ $@

build/fuzz/tests/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o $(ARCHIVE)
	@echo "LD $@"
	@$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer $< $(ARCHIVE) -o $@.$$$$ $(PKG_LIBS) && mv $@.$$$$ $@

TIDY_FILES = $(sort $(foreach dir,$(FOLDERS) tests/fuzz $(wildcard tests/unit/*),$(wildcard $(dir)/*.[ch])))

.SECONDARY:
-include $(OBJS:.o=.d) $(UNITS:=.d) $(FUZZ_SRCS:%.c=$B/%.d) $B/tests/fuzz/replay.d
