// SPDX-License-Identifier: GPL-2.0
// What if a function returned something else?

@initialize:python@
@@
from emit import mutant

CONSTANTS = (("true", "false"), ("0", "-EBUSY", "-ENOENT"),
             ("NOTIFY_DONE", "NOTIFY_OK", "NOTIFY_BAD"))

def returns(old, p):
    for group in CONSTANTS:
        if old in group:
            for new in group:
                if new != old:
                    mutant(f"return {new}", "expression", p, new)

@constant_name@
identifier C;
position p;
@@
return C@p;

@script:python@
C << constant_name.C;
p << constant_name.p;
@@
returns(C, p)

@number@
constant C;
position p;
@@
return C@p;

@script:python@
C << number.C;
p << number.p;
@@
returns(C, p)

@error_code@
constant C;
expression E;
position p;
@@
return \( -C \& E@p \);

@script:python@
C << error_code.C;
p << error_code.p;
@@
returns(f"-{C}", p)

@truth@
expression A, B, E;
position p;
@@
return \( \( A && B \| A || B \| !A \| A == B \| A != B \) \& E@p \);

@script:python@
p << truth.p;
@@
mutant("return true", "condition", p, "true")
mutant("return false", "condition", p, "false")
