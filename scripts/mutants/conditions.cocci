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
)

@script:python@
p << test.p;
s << test.s;
@@
condition(p)
branch(s, p)
mutant("condition to true", "condition", p, "true")
mutant("condition to false", "condition", p, "false")

// Coccinelle 1.1.1 does not find it as one more choice above.
@loop@
expression E;
statement S;
position p;
@@
while (E@p) S

@script:python@
p << loop.p;
@@
condition(p)
mutant("condition to true", "condition", p, "true")
mutant("condition to false", "condition", p, "false")

@loop_body@
expression E;
statement S;
position p, s;
@@
while (E@p) S@s

@script:python@
p << loop_body.p;
s << loop_body.s;
@@
branch(s, p)

// To Coccinelle 1.1.1, a block here is not at any position.
@loop_block@
expression E;
position p, s, e;
@@
while (E@p) {@s ... when any
}@e

@script:python@
p << loop_block.p;
s << loop_block.s;
e << loop_block.e;
@@
branch(s, p, e)

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
)

@script:python@
p << negated.p;
@@
mutant("negate condition", "condition", p, "!({e})", e=p)

@negated_loop@
expression E;
statement S;
position p != opposite_known.p;
@@
while (E@p) S

@script:python@
p << negated_loop.p;
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
