"""Expressions of users, made ready for arrays: sums written out, derivatives taken, jumps refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from numerics.runtime.errors import InputError, unknown_name
from validate.simulate.arrays import special_functions

ARRAYS = {"x": "K", "y": "M", "Q": "KK", "R": "KM", "T": "MM", "g": "K", "w": "K", "v": "M"}
"""The indexed symbols a loss may hold, with the sizes of their indices."""

SCALARS = ("tau", "noise", "lambda", "zeta", "sigma_0")
"""The scalar symbols a loss or a penalty may hold: input variance, label noise of the sample, weight decay,
gain decay, and the standard deviation of the label noise."""


def symbol(name: str, *indices: int) -> sympy.Symbol:
    """The real symbol that stands for one element of an array, or for a scalar."""
    return sympy.Symbol("_".join([name, *map(str, indices)]), real=True)


def written_out(expression: Any, sizes: Mapping[str, int]) -> sympy.Expr:
    """The expression at these K and M: sums written out, every atom replaced by ``symbol`` of its name.

    Q is symmetric: Q[j, i] becomes Q[i, j], i <= j. Raises InputError for symbols that are not known.
    """
    expression = sympy.sympify(expression)
    expression = expression.xreplace(
        {atom: sympy.Integer(sizes[atom.name]) for atom in expression.free_symbols if atom.name in sizes}
    )
    expression = _expand_sums(expression)
    replacements: dict[Any, Any] = {atom: _element(atom, sizes) for atom in expression.atoms(sympy.Indexed)}
    expression = expression.xreplace(replacements)
    elements = set(replacements.values())
    scalars = {atom: symbol(atom.name) for atom in expression.free_symbols - elements}
    for atom in scalars:
        if atom.name not in SCALARS:
            raise unknown_name("symbol in the loss", atom.name, [*ARRAYS, *SCALARS, "K", "M"])
    return expression.xreplace(scalars)


def _expand_sums(expression: sympy.Expr) -> sympy.Expr:
    """Every Sum with numeric limits as the sum of its terms, innermost first."""
    if not expression.args or isinstance(expression, sympy.Indexed):
        return expression
    if isinstance(expression, sympy.Sum):
        total = _expand_sums(expression.function)
        for index, low, high in expression.limits:
            if not (low.is_Integer and high.is_Integer):
                raise InputError(f"the limits of {expression} must be 1 and K or M")
            total = sympy.Add(*(total.xreplace({index: sympy.Integer(k)}) for k in range(low, high + 1)))
        return total
    return expression.func(*map(_expand_sums, expression.args))


def _element(atom: sympy.Indexed, sizes: Mapping[str, int]) -> sympy.Symbol:
    name = str(atom.base.label)
    if name not in ARRAYS:
        raise unknown_name("array in the loss", name, ARRAYS)
    if len(atom.indices) != len(ARRAYS[name]):
        raise InputError(f"{name} has {len(ARRAYS[name])} indices, not those of {atom}")
    for index, size in zip(atom.indices, ARRAYS[name], strict=True):
        if not index.is_Integer:
            raise InputError(f"the index {index} of {atom} is not summed over")
        if not 1 <= index <= sizes[size]:
            raise InputError(f"{atom} is out of range: its indices run from 1 to {size} = {sizes[size]}")
    indices = [int(index) for index in atom.indices]
    return symbol(name, *(sorted(indices) if name in ("Q", "T") else indices))


def derivative(expression: sympy.Expr, variable: sympy.Symbol) -> sympy.Expr:
    """d expression / d variable, as a function: at a kink either side's value; a jump has none."""
    result = expression.diff(variable)
    if result.has(sympy.Derivative, sympy.Subs, AppliedUndef):
        raise InputError(f"{expression} has no known derivative with respect to {variable}")
    for delta in result.atoms(sympy.DiracDelta):
        # The delta of a jump has a coefficient where its argument vanishes; that of a kink has none.
        mark = sympy.Dummy()
        coefficient = result.xreplace({delta: mark}).diff(mark)
        roots = sympy.solve(delta.args[0], variable) if delta.args[0].has(variable) else [sympy.nan]
        if len(delta.args) > 1 or any(
            sympy.simplify(coefficient.subs(variable, root)) != 0 for root in roots
        ):
            raise InputError(f"{expression} jumps in {variable}: its gradient does not exist")
        result = result.xreplace({delta: sympy.S.Zero})
    return result


def real_function_of_one_variable(expression: Any) -> tuple[sympy.Symbol, sympy.Expr, sympy.Expr]:
    """An activation given as an expression (or as an object with that attribute): variable, value,
    derivative."""
    expression = sympy.sympify(getattr(expression, "expression", expression))
    expression = expression.rewrite([sympy.Max, sympy.Min], sympy.Heaviside)
    free = sorted(expression.free_symbols, key=str)
    if len(free) > 1:
        raise InputError(f"an activation is a function of one variable, not of {', '.join(map(str, free))}")
    variable = symbol("u")
    value = expression.xreplace({atom: variable for atom in free})
    if value.has(AppliedUndef):
        raise InputError(f"the activation {expression} holds a function that is not defined")
    return variable, value, derivative(value, variable)


def kinks(expression: sympy.Expr, variable: sympy.Symbol) -> tuple[float, ...]:
    """Where a function of one variable may have a kink: zeros of the arguments of sign, Heaviside and Abs."""
    arguments = {atom.args[0] for atom in expression.atoms(sympy.Heaviside, sympy.sign, sympy.Abs)}
    roots = {root for argument in arguments for root in sympy.solve(argument, variable)}
    return tuple(sorted(float(root) for root in roots if root.is_real))


def lambdify_on(arguments: Sequence[sympy.Symbol], outputs: Any, xp: Any) -> Callable[..., Any]:
    """A function of arrays of ``xp``, with erf and erfc from its special functions."""
    special = special_functions(xp)
    own = {"erf": special.erf, "erfc": special.erfc}
    return sympy.lambdify(arguments, outputs, modules=[own, xp.__name__], cse=True)
