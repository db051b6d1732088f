// SPDX-License-Identifier: GPL-2.0
// What if a number were one off, or a sum a difference?

@initialize:python@
@@
from emit import mutant

@number@
constant int C;
expression A;
expression list[n] before;
identifier f;
position p;
@@
(
A == C@p
|
A != C@p
|
A < C@p
|
A > C@p
|
f(before, C@p, ...)
)

@script:python@
p << number.p;
@@
mutant("one more", "expression", p, "({c}) + 1", c=p)
mutant("one less", "expression", p, "({c}) - 1", c=p)

@sum@
expression A, B, E;
position p, a, b;
@@
\( A@a + B@b \& E@p \)

@script:python@
p << sum.p;
a << sum.a;
b << sum.b;
@@
mutant("+ to -", "expression", p, "({a}) - ({b})", a=a, b=b)
mutant("drop right operand", "expression", p, "{a}", a=a)
