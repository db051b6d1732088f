# SPDX-License-Identifier: GPL-2.0
#
# The verbs of this project. `make help` lists them; scripts/ does the work.

export KDIR KERNEL ARCH CROSS_COMPILE LLVM CONFIG KUNIT_ARGS O COLD MUTANTS FIRST
export RANGE MBOX BASE GOOD BAD REPEAT

.DEFAULT_GOAL := help
verbs := help kunit qemu-virtio-mem coverage leaks mutants ci bisect check prove-bisect \
	tree apply bench
.PHONY: $(verbs) clean

# Python has a module of its own that is called bisect.
bisect: verb := git-bisect

$(verbs):
	@command -v python3 >/dev/null || { \
		echo "error: python3 is missing; fix: install it (Debian: apt-get install python3)" >&2; \
		exit 6; }
	@python3 scripts/$(subst -,_,$(or $(verb),$@)).py

clean:
	rm -rf build
