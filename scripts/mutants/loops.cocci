// SPDX-License-Identifier: GPL-2.0
// What if a loop began or ended one off, or never got on?

@initialize:python@
@@
from emit import condition, mutant

@start@
expression I, A;
position a;
statement S;
@@
for (I = A@a; ...; ...) S

@script:python@
a << start.a;
@@
condition(a)
mutant("start one later", "expression", a, "({a}) + 1", a=a)

@bound@
expression I, B;
position b;
statement S;
@@
(
for (...; I < B@b; ...) S
|
for (...; I <= B@b; ...) S
|
while (I < B@b) S
|
while (I <= B@b) S
)

@script:python@
b << bound.b;
@@
mutant("end one earlier", "expression", b, "({b}) - 1", b=b)

@step@
expression I, E;
position p;
statement S;
@@
(
for (...; ...; \( I++ \& E@p \)) S
|
for (...; ...; \( I-- \& E@p \)) S
)

@script:python@
p << step.p;
@@
condition(p)
mutant("no step", "expression", p, "0")

@countdown@
expression I, E;
position p, i;
@@
\( I@i-- \& E@p \)

@script:python@
p << countdown.p;
i << countdown.i;
@@
mutant("-- to nothing", "expression", p, "{i}", i=i)
mutant("one less", "expression", p, "--{i}", i=i)
