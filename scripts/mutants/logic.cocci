// SPDX-License-Identifier: GPL-2.0
// What if an operand of && or || were missing, or one were the other?

@initialize:python@
@@
from emit import mutant

@conjunction@
expression A, B, E;
position p, a, b;
@@
\( A@a && B@b \& E@p \)

@script:python@
p << conjunction.p;
a << conjunction.a;
b << conjunction.b;
@@
mutant("drop right operand", "condition", p, "{a}", a=a)
mutant("drop left operand", "condition", p, "{b}", b=b)
mutant("&& to ||", "condition", p, "({a}) || ({b})", a=a, b=b)

@disjunction@
expression A, B, E;
position p, a, b;
@@
\( A@a || B@b \& E@p \)

@script:python@
p << disjunction.p;
a << disjunction.a;
b << disjunction.b;
@@
mutant("drop right operand", "condition", p, "{a}", a=a)
mutant("drop left operand", "condition", p, "{b}", b=b)
mutant("|| to &&", "condition", p, "({a}) && ({b})", a=a, b=b)
