# SPDX-License-Identifier: GPL-2.0
#
# What people type first; ./suite does the work, and has more verbs.
#
# Only variables of make's own command line are handed on, as they were written
# there: common names in the environment, such as O, mean something else.

.DEFAULT_GOAL := help
verbs := help kunit check clean
.PHONY: $(verbs)

quote := '
given := $(strip $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name))))

$(verbs):
	@command -v python3 >/dev/null || { \
		echo "error: python3 is missing; fix: install it (Debian: apt-get install python3)" >&2; \
		exit 6; }
	@unset $(given) MAKEFLAGS; ./suite --from-make $@ $(foreach name,$(given),'$(subst $(quote),'\'',$(name)=$(value $(name)))')
