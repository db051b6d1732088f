# SPDX-License-Identifier: GPL-2.0
#
# The verbs of this project. `make help` lists them; scripts/ does the work.

export KDIR KERNEL ARCH CROSS_COMPILE LLVM CONFIG KUNIT_ARGS O COLD MUTANTS FIRST
export RANGE MBOX BASE

.DEFAULT_GOAL := help
verbs := help kunit qemu-virtio-mem coverage leaks mutants ci check tree apply bench
.PHONY: $(verbs) clean

$(verbs):
	@command -v python3 >/dev/null || { \
		echo "error: python3 is missing; fix: install it (Debian: apt-get install python3)" >&2; \
		exit 6; }
	@python3 scripts/$(subst -,_,$@).py

clean:
	rm -rf build
