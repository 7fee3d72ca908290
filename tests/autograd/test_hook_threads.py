"""Hooks come and go while other threads run passes over the same graph."""

from __future__ import annotations

import threading

import ccdl


def test_hooks_registered_and_removed_while_another_thread_runs_backward() -> None:
    leaf = ccdl.ones(64, requires_grad=True)
    product = leaf * 2
    done = threading.Event()
    seen: list[int] = []

    def passes() -> None:
        while not done.is_set():
            product.sum().backward(retain_graph=True)
            leaf.grad = None

    threads = [threading.Thread(target=passes) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for i in range(3000):
            handles = [
                tensor.register_hook(lambda g, i=i: seen.append(i))  # type: ignore[misc]
                for tensor in (leaf, product, leaf, product)
            ]
            handles.append(leaf.register_post_accumulate_grad_hook(lambda t, i=i: seen.append(i)))
            handles.append(product.grad_fn.register_hook(lambda a, b, i=i: None))
            handles.append(product.grad_fn.register_prehook(lambda a, i=i: None))
            for handle in handles:
                handle.remove()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    before = len(seen)
    product.sum().backward()
    assert len(seen) == before  # none is left
    assert leaf.grad.tolist() == [2.0] * 64
