// SPDX-License-Identifier: GPL-2.0
// What if another relation were meant?

@initialize:python@
@@
from emit import mutant

def relations(old, new, p, a, b):
    for relation in new:
        mutant(f"{old} to {relation}", "expression", p, f"({{a}}) {relation} ({{b}})", a=a, b=b)

@equal@
expression A, B, E;
position p, a, b;
@@
\( A@a == B@b \& E@p \)

@script:python@
p << equal.p;
a << equal.a;
b << equal.b;
@@
relations("==", ["!=", "<", "<=", ">", ">="], p, a, b)

@unequal@
expression A, B, E;
position p, a, b;
@@
\( A@a != B@b \& E@p \)

@script:python@
p << unequal.p;
a << unequal.a;
b << unequal.b;
@@
relations("!=", ["==", "<", "<=", ">", ">="], p, a, b)

@less@
expression A, B, E;
position p, a, b;
@@
\( A@a < B@b \& E@p \)

@script:python@
p << less.p;
a << less.a;
b << less.b;
@@
relations("<", ["<=", "!=", ">="], p, a, b)

@less_or_equal@
expression A, B, E;
position p, a, b;
@@
\( A@a <= B@b \& E@p \)

@script:python@
p << less_or_equal.p;
a << less_or_equal.a;
b << less_or_equal.b;
@@
relations("<=", ["<", "==", ">"], p, a, b)

@greater@
expression A, B, E;
position p, a, b;
@@
\( A@a > B@b \& E@p \)

@script:python@
p << greater.p;
a << greater.a;
b << greater.b;
@@
relations(">", [">=", "!=", "<="], p, a, b)

@greater_or_equal@
expression A, B, E;
position p, a, b;
@@
\( A@a >= B@b \& E@p \)

@script:python@
p << greater_or_equal.p;
a << greater_or_equal.a;
b << greater_or_equal.b;
@@
relations(">=", [">", "==", "<"], p, a, b)
