# vramble: see README.md.  make help lists the targets.
#
# Knobs (all may be given on the command line):
#   BUILD=build            where everything is built
#   SCREEN=1               0: the headless program, without ncurses and libchafa
#   WEBP=1                 0: without libwebp, so that WebP pictures are not read; chosen by what is installed
#   HUB=1                  0: without libcurl and nettle, which `vramble models pull` and `verify` use; chosen by what is installed
#   SENTENCEPIECE=1        0: without it, which the tokenizers of DeBERTa and SigLIP need; chosen by what is installed
#   TORCH_DIR=             a libtorch or a pip torch folder (holds include/ and lib/)
#   SANITIZE=              address or thread (make asan, make tsan set it)
#   WERROR=                1: warnings are errors
#   PREFIX=/usr/local DESTDIR=

BUILD ?= build
SCREEN ?= 1
PREFIX ?= /usr/local
CC ?= cc
CXX ?= c++
VERSION := 0.1.0

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

# ---------------------------------------------------------------- flags
WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wno-unused-parameter -Wno-missing-field-initializers
CWARN = $(WARN) -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla
ifeq ($(WERROR),1)
WARN += -Werror
endif
OPT ?= -O2
DEBUG ?= -g
ifneq ($(SANITIZE),)
SAN := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer
ifeq ($(SANITIZE),address)
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif
OPT := -O1
endif
PKG_CONFIG ?= pkg-config
pkg = $(shell $(PKG_CONFIG) $(1) $(2) 2>/dev/null)

HUB_PKGS := libcurl nettle
ifeq ($(origin HUB),undefined)
HUB := $(shell $(PKG_CONFIG) --exists 'libcurl >= 7.85' nettle 2>/dev/null && echo 1 || echo 0)
endif
HUB_LIBS = $(if $(filter 0,$(HUB)),,-Wl,--push-state,--as-needed $(call pkg,--libs,$(HUB_PKGS)) -Wl,--pop-state)
ifeq ($(origin WEBP),undefined)
WEBP := $(shell $(PKG_CONFIG) --exists libwebp libwebpdemux 2>/dev/null && echo 1 || echo 0)
endif
WEBP_LIBS = $(if $(filter 0,$(WEBP)),,-Wl,--push-state,--as-needed $(call pkg,--libs,libwebpdemux libwebp) -Wl,--pop-state)
CORE_LIBS = $(call pkg,--libs,libexif) $(WEBP_LIBS) $(HUB_LIBS) -lm -lpthread -ldl
TEXT_PKGS := jansson libpcre2-8 libxml-2.0 zlib
TEXT_LIBS = -Wl,--push-state,--as-needed $(call pkg,--libs,$(TEXT_PKGS)) -lunistring -Wl,--pop-state
SCREEN_PKGS := ncursesw chafa glib-2.0
ifeq ($(origin SENTENCEPIECE),undefined)
SENTENCEPIECE := $(shell $(PKG_CONFIG) --exists sentencepiece 2>/dev/null && echo 1 || echo 0)
endif

BASE_CPPFLAGS := -I. -D_GNU_SOURCE -DVRAMBLE_VERSION='"$(VERSION)"' -DVRAMBLE_SCREEN=$(SCREEN) -DVRAMBLE_WEBP=$(WEBP) \
	-DVRAMBLE_LIBDIR='"$(PREFIX)/lib/vramble"' -DVRAMBLE_DATADIR='"$(PREFIX)/share/vramble"' -MMD -MP
# libtorch runs on GNU's OpenMP and a process must not have two: clang's own is not linked, so a shim built by clang runs its own loops on one thread (those
# of libtorch on all). And clang says so when it cannot vectorise a loop that asks for it: slower, not wrong.
IS_CLANG := $(findstring clang,$(shell $(CXX) --version 2>/dev/null))
CXXQUIET := $(if $(IS_CLANG),-Wno-pass-failed)
OPENMP := $(if $(IS_CLANG),,-fopenmp)
ALL_CFLAGS = -std=c11 -fPIC -fvisibility=hidden $(OPT) $(DEBUG) $(CWARN) $(SAN) $(CFLAGS)
ALL_CXXFLAGS = -std=$(TORCH_STD) -fPIC -fvisibility=hidden $(OPT) $(DEBUG) $(WARN) $(CXXQUIET) $(SAN) $(CXXFLAGS)
ALL_LDFLAGS = $(SAN) $(LDFLAGS)

# ---------------------------------------------------------------- libtorch
# TORCH_DIR wins; then the active Python's torch when it carries headers; then the system's.
ifeq ($(TORCH_DIR),)
TORCH_DIR := $(shell python3 -c "import importlib.util as u,os;s=u.find_spec('torch');d=os.path.dirname(s.origin) if s else '';print(d if os.path.exists(d+'/include/ATen/ATen.h') and not d.startswith('/usr/lib') else '')" 2>/dev/null)
endif
ifneq ($(TORCH_DIR),)
TORCH_INC := -isystem $(TORCH_DIR)/include -isystem $(TORCH_DIR)/include/torch/csrc/api/include
TORCH_LIB := $(TORCH_DIR)/lib
TORCH_ABI := $(shell nm -DC $(TORCH_LIB)/libc10.so 2>/dev/null | grep -q __cxx11 && echo 1 || echo 0)
TORCH_VERSION_H := $(TORCH_DIR)/include/torch/csrc/api/include/torch/version.h
else
TORCH_MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
TORCH_INC := -isystem /usr/include/torch/csrc/api/include
TORCH_LIB := /usr/lib/$(TORCH_MULTIARCH)
TORCH_ABI := 1
TORCH_VERSION_H := /usr/include/torch/csrc/api/include/torch/version.h
endif
# libtorch 2.14 and later wants C++20.
TORCH_STD := $(shell awk '/define TORCH_VERSION_MAJOR/{a=$$3} /define TORCH_VERSION_MINOR/{b=$$3} END{print (a>2||(a==2&&b>=14))?"c++20":"c++17"}' $(TORCH_VERSION_H) 2>/dev/null || echo c++17)
TORCH_CUDA := $(if $(wildcard $(TORCH_LIB)/libtorch_cuda.so),-ltorch_cuda -lc10_cuda,)
# CUDA's runtime headers, of pip's wheel or a toolkit: with them the shim reads, caps and trims libtorch's allocator.
TORCH_CUDA_INC := $(if $(TORCH_CUDA),$(firstword $(dir $(wildcard $(addsuffix /cuda_runtime_api.h, \
	$(TORCH_DIR)/../nvidia/cuda_runtime/include $(TORCH_DIR)/../nvidia/cu13/include /usr/local/cuda/include)))))
TORCH_INC += $(if $(TORCH_CUDA_INC),-DTT_CUDA=1 -isystem $(TORCH_CUDA_INC))
# Without --no-as-needed the CUDA kernels are silently not registered.
TORCH_LIBS := -L$(TORCH_LIB) -Wl,-rpath,$(TORCH_LIB) -Wl,--no-as-needed -ltorch -ltorch_cpu $(TORCH_CUDA) -lc10 -Wl,--as-needed -lgomp -lstdc++

# ---------------------------------------------------------------- sources
CORE_SRC := $(filter-out $(if $(filter 0,$(HUB)),core/hub_http.c core/hub_hash.c,core/hub_none.c),$(wildcard core/*.c))
# Everything of models/ that needs no libtorch: tokenizers, preprocessing, files, beam search.
PLAIN_SRC := $(addprefix models/,bpe.c bpe_load.c bpe_table.c wordpiece.c vocab.c clean.c text.c json.c preprocess.c beam.c labels.c unigram.c unigram_file.c tokenizer_json.c nli_text.c) \
	$(wildcard models/checkpoint*.c)
PLAIN_SRC := $(filter $(wildcard models/*.c),$(PLAIN_SRC))
NET_SRC := $(filter-out $(PLAIN_SRC),$(wildcard models/*.c))
SHIM_SRC := $(wildcard models/torch_*.cpp)
BOOK_SRC := $(addprefix models/picturebook/,scene.c scene_things.c scene_paint.c pen.c grammar.c nli.c measure.c)
BOOK_SRC := $(filter $(wildcard models/picturebook/*.c),$(BOOK_SRC))
HEADLESS_SRC := $(wildcard tui/main.c tui/library.c tui/paths.c tui/print.c tui/command_*.c)
TUI_SRC := $(if $(filter 0,$(SCREEN)),$(HEADLESS_SRC),$(wildcard tui/*.c))

obj = $(patsubst %.c,$(BUILD)/%.o,$(patsubst %.cpp,$(BUILD)/%.o,$(1)))
CORE_LIB := $(BUILD)/libcore.a
PLAIN_LIB := $(BUILD)/libplain.a
BOOK_LIB := $(BUILD)/libbook.a
NET_LIB := $(BUILD)/libnet.a
MODELS_SO := $(BUILD)/libvramble-torch.so
UNIGRAM_SO := $(if $(filter 0,$(SENTENCEPIECE)),,$(BUILD)/libvramble-unigram.so)
PROGRAM := $(BUILD)/vramble

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(filter-out $(if $(filter 0,$(SCREEN)),tests/unit/test_tui_%) $(if $(filter 0,$(HUB)),%/test_hub.c),$(wildcard tests/unit/test_*.c)))
TORCH_TESTS := $(patsubst tests/torch/%.c,$(BUILD)/tests/torch/%,$(wildcard tests/torch/test_*.c))
SCREEN_TESTS := $(if $(filter 0,$(SCREEN)),,$(patsubst tests/screen/%.c,$(BUILD)/tests/screen/%,$(filter-out $(if $(filter 0,$(HUB)),%/test_models_command.c),$(wildcard tests/screen/test_*.c))))
# libtorch's threads are not instrumented.
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(filter-out $(if $(filter thread,$(SANITIZE)),%/fuzz_network.c),$(wildcard tests/fuzz/fuzz_*.c)))
TEST_SUPPORT := $(filter-out tests/support/fake_library.c tests/support/fake_nvml.c,$(wildcard tests/support/*.c))
SUPPORT_LIB := $(BUILD)/libsupport.a
GOLDEN_SRC := $(wildcard tests/golden/*.c)

# ---------------------------------------------------------------- rules
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' $(1) $(2))

.PHONY: all deps demo check check-full train bench lint asan tsan install uninstall clean help tests tools
all: $(PROGRAM) $(MODELS_SO) $(UNIGRAM_SO) tools

# The true-colour terminfo entry, compiled and spelled as ncurses takes it from the environment.
$(BUILD)/gen/tui/direct.h: tui/direct.ti
	$(call say,TIC,$<)
	$(Q)mkdir -p $(@D) && tic -x -o $(@D) $< && printf '#define DIRECT_TERMINFO "%s"\n' "$$(base64 -w0 $(@D)/x/xterm-direct2)" > $@
$(BUILD)/tui/terminal.o: $(BUILD)/gen/tui/direct.h

$(BUILD)/tui/%.o: tui/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) -I$(BUILD)/gen $(BASE_CPPFLAGS) $(if $(filter 0,$(SCREEN)),,$(call pkg,--cflags,$(SCREEN_PKGS))) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/models/torch_%.o: models/torch_%.cpp
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && $(CXX) $(BASE_CPPFLAGS) $(TORCH_INC) -D_GLIBCXX_USE_CXX11_ABI=$(TORCH_ABI) $(OPENMP) -fno-trapping-math -fno-math-errno $(ALL_CXXFLAGS) -c $< -o $@

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE_CPPFLAGS) $(call pkg,--cflags,$(TEXT_PKGS) $(if $(filter 0,$(HUB)),,$(HUB_PKGS))) $(ALL_CFLAGS) -c $< -o $@

$(CORE_LIB): $(call obj,$(CORE_SRC))
$(PLAIN_LIB): $(call obj,$(PLAIN_SRC))
$(BOOK_LIB): $(call obj,$(BOOK_SRC))
$(NET_LIB): $(call obj,$(NET_SRC) $(SHIM_SRC))
$(SUPPORT_LIB): $(call obj,$(TEST_SUPPORT))
$(CORE_LIB) $(PLAIN_LIB) $(BOOK_LIB) $(NET_LIB) $(SUPPORT_LIB):
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $^

# One exported symbol, the table; see models/exports.map.
$(MODELS_SO): $(NET_LIB) $(PLAIN_LIB) $(CORE_LIB) models/exports.map
	$(call say,LINK,$@)
	$(Q)$(CC) -shared $(ALL_LDFLAGS) -Wl,--version-script=models/exports.map -o $@ -Wl,--whole-archive $(NET_LIB) -Wl,--no-whole-archive $(PLAIN_LIB) $(CORE_LIB) $(TORCH_LIBS) $(TEXT_LIBS) $(CORE_LIBS)

# Apart from libtorch, whose protobuf it must not meet; see models/unigram.h.
$(UNIGRAM_SO): models/unigram_spm.cpp models/unigram_spm.h
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CXX) -shared -std=c++17 -I. -fPIC -fvisibility=hidden $(OPT) $(DEBUG) $(WARN) $(CXXFLAGS) $(LDFLAGS) \
		$(call pkg,--cflags,sentencepiece) -o $@ $< $(call pkg,--libs,sentencepiece)

$(PROGRAM): $(call obj,$(TUI_SRC)) $(CORE_LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(if $(filter 0,$(SCREEN)),,$(call pkg,--libs,$(SCREEN_PKGS))) $(TEXT_LIBS) $(CORE_LIBS)

link = $(call say,LINK,$@)
# The book first: measure.c runs the networks; programs without libtorch do not take it from the archive.
TORCH_LINK = $(BOOK_LIB) $(NET_LIB) $(PLAIN_LIB) $(CORE_LIB)

# stb_image_write shifts into the sign bit.
$(BUILD)/models/picturebook/demo.o: SAN += -fno-sanitize=shift
$(BUILD)/demo-scenes: $(call obj,models/picturebook/demo.c) $(BOOK_LIB) $(CORE_LIB)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEXT_LIBS) $(CORE_LIBS)

$(BUILD)/train: $(call obj,$(wildcard models/picturebook/train*.c)) $(TORCH_LINK)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TORCH_LIBS) $(TEXT_LIBS) $(CORE_LIBS)

$(BUILD)/golden: $(call obj,$(GOLDEN_SRC)) $(TORCH_LINK)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TORCH_LIBS) $(TEXT_LIBS) $(CORE_LIBS)

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(SUPPORT_LIB) $(BOOK_LIB) $(PLAIN_LIB) $(CORE_LIB)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(TEXT_LIBS) $(CORE_LIBS)

# Screen parts that stand alone (keys, theme, layout…) are unit-tested with the objects of tui/.
$(BUILD)/tests/unit/test_tui_%: $(BUILD)/tests/unit/test_tui_%.o $(filter-out $(BUILD)/tui/main.o,$(call obj,$(wildcard tui/*.c))) $(SUPPORT_LIB) $(CORE_LIB)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(call pkg,--libs,$(SCREEN_PKGS)) $(TEXT_LIBS) $(CORE_LIBS)

$(BUILD)/tests/torch/%: $(BUILD)/tests/torch/%.o $(SUPPORT_LIB) $(TORCH_LINK)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(TORCH_LIBS) $(TEXT_LIBS) $(CORE_LIBS)

$(BUILD)/tests/screen/%: $(BUILD)/tests/screen/%.o $(SUPPORT_LIB) $(CORE_LIB)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka -lvterm -lutil $(TEXT_LIBS) $(CORE_LIBS)

$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(SUPPORT_LIB) $(PLAIN_LIB) $(CORE_LIB)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEXT_LIBS) $(CORE_LIBS)

# What a model directory says of itself is known without libtorch: a function that gives nothing stands for each of the shim's.
$(BUILD)/tests/fuzz/fuzz_config: $(BUILD)/tests/fuzz/fuzz_config.o $(call obj,$(NET_SRC)) $(SUPPORT_LIB) $(PLAIN_LIB) $(CORE_LIB)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $$(nm -u $(call obj,$(NET_SRC)) | awk '$$2 ~ /^tt_/ { print "-Wl,--defsym=" $$2 "=no_torch" }' | sort -u) \
		$(TEXT_LIBS) $(CORE_LIBS)

$(BUILD)/tests/fuzz/fuzz_network: $(BUILD)/tests/fuzz/fuzz_network.o $(SUPPORT_LIB) $(TORCH_LINK)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TORCH_LIBS) $(TEXT_LIBS) $(CORE_LIBS)

# Benches (tests/bench/README.md): material makes what the others measure on; bench_screen drives the program and needs no libtorch.
BENCHES := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(wildcard tests/bench/bench_*.c tests/bench/material.c))
BENCHES := $(if $(filter 0,$(SCREEN)),$(filter-out %/bench_screen,$(BENCHES)),$(BENCHES))
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(call obj,tests/bench/measure.c) $(TORCH_LINK)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TORCH_LIBS) $(TEXT_LIBS) $(CORE_LIBS)
$(BUILD)/tests/bench/bench_screen: $(call obj,tests/bench/bench_screen.c tests/bench/measure.c) $(SUPPORT_LIB) $(BOOK_LIB) $(CORE_LIB)
	$(link)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka -lvterm -lutil $(TEXT_LIBS) $(CORE_LIBS)

# The fake models as the program can load them: VRAMBLE_LIBRARY=$(BUILD)/tests/libfake-models.so
FAKE_SO := $(BUILD)/tests/libfake-models.so
$(FAKE_SO): $(call obj,tests/support/fake_library.c tests/support/fake_models.c) $(CORE_LIB)
	$(link)
	$(Q)$(CC) -shared $(ALL_LDFLAGS) -o $@ $^ $(CORE_LIBS)
# A driver library that works, fails or hangs: LD_LIBRARY_PATH=$(BUILD)/tests/nvml FAKE_NVML=hang
FAKE_NVML := $(BUILD)/tests/nvml/libnvidia-ml.so.1
$(FAKE_NVML): $(call obj,tests/support/fake_nvml.c)
	$(link)
	$(Q)mkdir -p $(@D) && $(CC) -shared $(ALL_LDFLAGS) -Wl,-soname,libnvidia-ml.so.1 -o $@ $^
$(SCREEN_TESTS): | $(FAKE_SO) $(FAKE_NVML)
$(UNIT_TESTS) $(TORCH_TESTS) $(FUZZERS): | $(UNIGRAM_SO)
$(BUILD)/tests/torch/test_layouts: | $(BUILD)/golden

.SECONDARY:

tools: $(if $(wildcard models/picturebook/demo.c),$(BUILD)/demo-scenes)

# ---------------------------------------------------------------- the two commands
# Packages may only just have been installed, so what needs them runs in a second make that looks again.
JOBS ?= $(shell nproc)
# Under make -jN its job server is shared; otherwise every CPU is used.
SUB = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
DEMO_FOLDER := $(BUILD)/demo

deps:
	@.ci/deps build

demo:
	@.ci/deps build
	+@$(SUB) all $(DEMO_FOLDER)/.done
	$(BUILD)/vramble $(DEMO_FOLDER)

$(DEMO_FOLDER)/.done: $(BUILD)/demo-scenes
	$(Q)$(BUILD)/demo-scenes $(DEMO_FOLDER) && touch $@

check:
	@.ci/deps check
	+@$(SUB) check-now

# Third-party vocabularies for the tokenizers' goldens; those skip without.
export VRAMBLE_DATA ?= $(patsubst %/clip/vocab.json,%,$(firstword $(wildcard tests/data/clip/vocab.json ../*/data/clip/vocab.json)))
GOLDEN_FAST := $(wildcard tests/golden/synth.json tests/golden/*/small*.json tests/golden/*/tokenizer.json tests/golden/*/preprocess.json tests/golden/*/search.json)
GOLDEN_FULL := $(wildcard tests/golden/*/full.json)
FAKE_MODELS := $(if $(wildcard tests/support/fake_library.c),$(BUILD)/tests/libfake-models.so)
CHECKED = $(UNIT_TESTS) $(TORCH_TESTS) $(SCREEN_TESTS) $(FUZZERS)

.PHONY: check-now check-full-now check-arrows check-clang check-asan check-tsan fuzz fuzz-now
tests: all $(CHECKED) $(BUILD)/golden $(FAKE_MODELS) $(DEMO_FOLDER)/.done

check-now: tests
	@tests/arrows
	@tests/run $(BUILD) $(UNIT_TESTS) $(TORCH_TESTS) "$(BUILD)/golden $(GOLDEN_FAST)" \
		"$(BUILD)/golden --precision bf16 $(filter %/small.json,$(GOLDEN_FAST))" $(FUZZERS:%="% -all 2000 -seed 1") $(SCREEN_TESTS)

# The reference networks at their real sizes, and pulls killed 200 times: minutes.
check-full:
	@.ci/deps check
	+@$(SUB) check-full-now
check-full-now: tests
	@TEST_TIMEOUT=3000 tests/run $(BUILD) "$(BUILD)/golden $(GOLDEN_FULL)" "$(BUILD)/golden --precision bf16 $(GOLDEN_FULL)" \
		$(if $(filter %/test_models_command,$(SCREEN_TESTS)),"env VRAMBLE_KILLS=200 $(BUILD)/tests/screen/test_models_command")

# Many mutations of each kind of file, under the sanitizers: make fuzz RUNS=100000. Networks that are really run get so many in all.
RUNS ?= 10000
NETWORKS := $(filter %/fuzz_network,$(FUZZERS))
PARSERS := $(filter-out $(NETWORKS),$(FUZZERS))
fuzz:
	+@$(SUB) BUILD=build-asan SANITIZE=address fuzz-now
fuzz-now: $(FUZZERS)
	@$(SANITIZED) SHOW_RUNS=1 TEST_TIMEOUT=7200 tests/run $(BUILD) $(PARSERS:%="% -runs $(RUNS) -seed 7") $(NETWORKS:%="% -all $(RUNS) -seed 7")

# ---------------------------------------------------------------- sanitizers and lint
# libtorch leaks at exit by design, and OpenMP's barriers are invisible to TSan: see the suppression files.
SANITIZED = ASAN_OPTIONS=detect_leaks=1:handle_abort=1 LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 \
	UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp:halt_on_error=1
asan:
	+@$(SUB) BUILD=build-asan SANITIZE=address check-sanitized
tsan:
	+@$(SUB) BUILD=build-tsan SANITIZE=thread check-sanitized
.PHONY: check-sanitized
check-sanitized: tests
	@$(SANITIZED) TEST_TIMEOUT=1500 tests/run $(BUILD) $(UNIT_TESTS) $(FUZZERS:%="% -all 500 -seed 1") $(SCREEN_TESTS)

# Format, arrows, both compilers with warnings as errors, static analysis, man pages.
FORMATTED := $(wildcard core/*.[ch] models/*.[ch] models/*.cpp models/picturebook/*.[ch] tui/*.[ch] tests/*/*.[ch])
.PHONY: lint-now
lint:
	@.ci/deps lint
	+@$(SUB) lint-now
lint-now:
	@tests/arrows
	$(call say,FORMAT,"clang-format")
	$(Q)clang-format --dry-run -Werror $(FORMATTED)
	+@$(SUB) WERROR=1 tests benches
	+@$(SUB) BUILD=build-clang CC=clang CXX=clang++ WERROR=1 OPT=-O1 tests benches
	+@$(SUB) BUILD=build-headless SCREEN=0 WERROR=1 OPT=-O1 all
	$(call say,CHECK,"cppcheck")
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --enable=warning,portability --suppressions-list=tests/cppcheck.supp \
		-D_GNU_SOURCE -I. core models tui
	$(Q)for page in man/*; do mandoc -T lint -W warning $$page || exit 1; done

# ---------------------------------------------------------------- the bundled models, benches, installing
train: $(BUILD)/train
	$(BUILD)/train all --out models/picturebook

# make bench BENCH="--device cuda:0"
BENCH ?=
bench:
	@.ci/deps build
	@.ci/deps bench || echo "Going on with what can be measured without."
	+@$(SUB) bench-now
.PHONY: bench-now benches
benches: $(BENCHES)
bench-now: all benches
	@tests/bench/run $(BUILD) $(BENCH)

MODEL_FILES = $(wildcard models/picturebook/clip/* models/picturebook/ofa/* models/picturebook/bert/* models/picturebook/*.txt models/picturebook/README.md)
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/vramble $(DESTDIR)$(PREFIX)/share/vramble/themes $(DESTDIR)$(PREFIX)/share/man/man1
	install -m755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/vramble
	install -m755 $(MODELS_SO) $(UNIGRAM_SO) $(DESTDIR)$(PREFIX)/lib/vramble/
	install -m644 themes/*.theme $(DESTDIR)$(PREFIX)/share/vramble/themes/
	install -m644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	for f in $(MODEL_FILES:models/%=%); do install -Dm644 models/$$f $(DESTDIR)$(PREFIX)/share/vramble/$$f || exit 1; done
uninstall:
	rm -rf $(DESTDIR)$(PREFIX)/bin/vramble $(DESTDIR)$(PREFIX)/lib/vramble $(DESTDIR)$(PREFIX)/share/vramble $(DESTDIR)$(PREFIX)/share/man/man1/vramble.1

clean:
	rm -rf $(BUILD)
help:
	@echo "make demo        install what is missing, build, open the bundled demo"
	@echo "make check       install what is missing, build, run the tests"
	@echo "make             build        make deps   install what a build needs"
	@echo "make check-full  reference networks at their real sizes"
	@echo "make asan, tsan  unit and screen tests under sanitizers"
	@echo "make lint        format, arrows, gcc and clang with warnings as errors, cppcheck, man pages"
	@echo "make fuzz        mutated files of every kind under the sanitizers"
	@echo "make bench train install uninstall clean"
	@echo "SCREEN=0 headless; SENTENCEPIECE=0 without DeBERTa and SigLIP; HUB=0 nothing is fetched; TORCH_DIR=… another libtorch; PREFIX= DESTDIR= BUILD= V=1"

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
