// SPDX-License-Identifier: GPL-2.0
// What if a condition were always true, or never, or the other way round?

@initialize:python@
@@
from emit import branch, condition, mutant

// The opposite of these is up to the operators for relations and for logic.
@opposite_known@
expression A, B, E;
position p;
@@
\( \( A == B \| A != B \| A < B \| A <= B \| A > B \| A >= B \| !A
   \| (A == B) \| (A != B) \| (A < B) \| (A <= B) \| (A > B) \| (A >= B) \| (!A) \) \& E@p \)

@test@
expression E;
statement S1, S2;
position p, s;
@@
(
if (E@p) S1@s else S2
|
if (E@p) S1@s
|
while (E@p) S1@s
)

@script:python@
p << test.p;
s << test.s;
@@
condition(p)
branch(s, p)
mutant("condition to true", "condition", p, "true")
mutant("condition to false", "condition", p, "false")

@head@
expression E;
statement S;
position p;
@@
for (...; E@p; ...) S

@script:python@
p << head.p;
@@
condition(p)
mutant("condition to false", "condition", p, "false")

@negated@
expression E;
statement S1, S2;
position p != opposite_known.p;
@@
(
if (E@p) S1 else S2
|
if (E@p) S1
|
while (E@p) S1
)

@script:python@
p << negated.p;
@@
mutant("negate condition", "condition", p, "!({e})", e=p)

@operand@
expression A, B;
position p != opposite_known.p;
@@
\( A@p && B \| B && A@p \| A@p || B \| B || A@p \)

@script:python@
p << operand.p;
@@
mutant("negate operand", "condition", p, "!({e})", e=p)

@inverted@
expression A, E;
position p, a;
@@
\( !A@a \& E@p \)

@script:python@
p << inverted.p;
a << inverted.a;
@@
mutant("drop !", "condition", p, "{a}", a=a)
