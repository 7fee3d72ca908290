"""Base of the optimisers whose step is an element rule of the extension: one fused pass over all parameters
of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from .. import _C
from ._overflow import count_skipped, device_flag, overflow_arguments
from .optimizer import Optimizer, _check_state_exists, _graph_scalars, _host_number, _number

__all__ = ["RuleOptimizer"]


class RuleOptimizer(Optimizer):
    """An optimiser by an element rule; the classes built on it say which.

    A subclass names its rule and gives the state's entries (``_slots``), the rule's numbers (``_numbers``)
    and the same update in tensor ops (``_plain``), which ``differentiable=True`` records and tests compare.
    """

    _rule: ClassVar[str]
    _host_scalars: ClassVar[bool] = False  # numbers of the state that the host moves on

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        """Names of the state tensors in the rule's order, None for one that this group does without."""
        raise NotImplementedError

    def _numbers(self, group: dict[str, Any]) -> tuple[Any, ...]:
        raise NotImplementedError

    def _plain(self, group: dict[str, Any], p: Any, g: Any, state: Any, step: float, scalars: Any) -> None:
        raise NotImplementedError

    def _first(self, group: dict[str, Any], p: Any, name: str) -> Any:
        """A new state tensor."""
        return _C.zeros_like(p.detach())

    def _first_scalars(self, group: dict[str, Any]) -> dict[str, float]:
        """New numbers of the state, kept on the CPU."""
        return {}

    def _move_scalars(
        self, group: dict[str, Any], states: list[Any], steps: list[float]
    ) -> Sequence[tuple[float, ...]]:
        """The rule's scalars of this step, per parameter; numbers kept in the state move on by one step."""
        return [()] * len(states)

    def _decoupled(self, group: dict[str, Any]) -> bool:
        return bool(group.get("decoupled_weight_decay", False))

    def _rule_decay(self, group: dict[str, Any]) -> float:
        return float(_number(group.get("weight_decay", 0.0)))

    def _state_of(self, group: dict[str, Any], p: Any) -> Any:
        state = self.state[p]
        names = [name for name in self._slots(group) if name is not None]
        _check_state_exists(self, "step" in state and all(name in state for name in names))
        if "step" not in state:
            state["step"] = _host_number(0.0)
            for name, value in self._first_scalars(group).items():
                state[name] = _host_number(value)
        for name in names:
            if name not in state:
                state[name] = self._first(group, p, name)
        return state

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in self.defaults.items():
                group.setdefault(key, value)
            for p in group["params"]:
                own = self.state.get(p)
                for key in self._host_state:
                    if own and key in own and not isinstance(own[key], _C.Tensor):
                        own[key] = _host_number(own[key])

    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss."""
        loss = self._closure_loss(closure)
        found = device_flag(self, self._reads_overflow_flag())
        if found is False:
            return loss
        for key, group in enumerate(self.param_groups):
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            states = [self._state_of(group, p) for p in params]
            overflow = overflow_arguments(self, key, states, found)
            steps = _C._count_steps([s["step"] for s in states])
            scalars = self._move_scalars(group, states, steps)
            if group.get("differentiable"):
                for p, state, step, own in zip(params, states, steps, scalars):
                    g = -p.grad if group["maximize"] else p.grad
                    self._plain(group, p, g, state, step, own)
            elif _C._cuda_graph_capturing():  # one launch for parameters of equal numbers
                alike: dict[Any, list[int]] = {}
                for i, own in enumerate(scalars):
                    alike.setdefault((steps[i], own), []).append(i)
                for (_, own), rows in alike.items():
                    chosen = [params[i] for i in rows]
                    self._update(
                        group,
                        chosen,
                        [states[i] for i in rows],
                        [steps[i] for i in rows],
                        [own] * len(rows),
                        {**_graph_scalars(self, group, chosen, own), **overflow},
                    )
            else:
                self._update(group, params, states, steps, scalars, overflow)
            count_skipped(overflow)
        return loss

    def _reads_overflow_flag(self) -> bool:
        """Whether the step's kernels can read a GradScaler's flag."""
        if type(self).step is not RuleOptimizer.step or self._host_scalars:
            return False
        return not any(g.get("differentiable") for g in self.param_groups)

    def _update(
        self,
        group: dict[str, Any],
        params: list[Any],
        states: list[Any],
        steps: list[float],
        scalars: Sequence[tuple[float, ...]],
        places: dict[str, Any],
    ) -> None:
        """One fused pass; ``places``: numbers on the device, of a captured graph and of a GradScaler."""
        slots = [[s[name] for s in states] if name is not None else [] for name in self._slots(group)]
        slots += [[]] * (3 - len(slots))
        columns = [list(column) for column in zip(*scalars)]
        columns += [[]] * (2 - len(columns))
        _C._fused_rule_step(
            self._rule,
            params,
            [p.grad for p in params],
            slots[0],
            slots[1],
            slots[2],
            steps,
            columns[0],
            columns[1],
            lr=float(_number(group["lr"])),
            numbers=[float(_number(v)) for v in self._numbers(group)],
            weight_decay=self._rule_decay(group),
            decoupled=self._decoupled(group),
            maximize=bool(group["maximize"]),
            **places,
        )


def coupled(group: dict[str, Any], p: Any, g: Any) -> Any:
    """The gradient with the weight decay of a recorded step."""
    decay = group["weight_decay"]
    return g + decay * p if decay else g
