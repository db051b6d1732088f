// SPDX-License-Identifier: GPL-2.0
// What if a statement were missing, or left the loop for good?

@initialize:python@
@@
from emit import mutant

@simple@
expression E;
identifier label;
statement S;
position p;
@@
\( \( E; \| return; \| return E; \| goto label; \| break; \| continue; \) \& S@p \)

@script:python@
p << simple.p;
@@
mutant("delete statement", "statement", p, ";")

@iteration@
iterator I;
statement S, T;
position p;
@@
\( I(...) T \& S@p \)

@script:python@
p << iteration.p;
@@
mutant("delete statement", "statement", p, ";")

@next@
statement S;
position p;
@@
\( continue; \& S@p \)

@script:python@
p << next.p;
@@
mutant("continue to break", "statement", p, "break;")
