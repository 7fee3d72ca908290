// Hooks around what is kept for backward, and what a hook may ask of the backward pass it runs in.
#pragma once
#include <ccdl/autograd/node.h>

namespace ccdl::autograd {

// pack sees every tensor about to be kept, without its history, and returns how to get it back. The innermost
// pack of the thread applies; none inside a pack.
using Unpack = std::function<Tensor()>;
using Pack = std::function<Unpack(const Tensor& x)>;
void push_saved_hooks(Pack pack);
void pop_saved_hooks();
size_t saved_hooks_depth();

// Sees every tensor that an op of this thread is about to write in place, before it does; empty: nobody.
using BeforeWrite = std::function<void(const Tensor& x)>;
void set_before_write(BeforeWrite watcher);
void announce_write(const Tensor& x);

// The backward pass this thread is in (-1: none), and whether it has run or will run a node.
int64_t current_graph_task();
bool will_execute(Node* node);

}  // namespace ccdl::autograd
