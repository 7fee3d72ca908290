// Reverse-mode execution: nodes run on the caller's thread in the order of a priority queue (latest recorded
// first) once all their incoming gradients have arrived. No recursion over the graph, so its depth is bounded
// by memory alone.
#include <algorithm>
#include <queue>
#include <unordered_map>

#include <ccdl/autograd/accumulate.h>
#include <ccdl/autograd/saved_hooks.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/unary.h>
#include <ccdl/ops/view.h>

namespace ccdl::autograd {

namespace {

struct Pending {         // a node that is part of this run
  int dependencies = 0;  // edges from nodes that have not run yet
  bool needed = true;    // leads to something wanted
  TensorList grads;
  std::vector<char> owned;  // grads[i] was made by this run's own addition and may be added into
  std::vector<std::pair<int, size_t>> captures;  // (output_nr, position in the result)
};

struct Later {
  bool operator()(const Ref<Node>& a, const Ref<Node>& b) const {
    if (a->is_accumulator() != b->is_accumulator()) return b->is_accumulator();
    return a->sequence() < b->sequence();
  }
};

class Run;
thread_local Run* t_run = nullptr;  // the innermost backward pass of this thread
std::atomic<int64_t> g_runs{0};

// The node being asked in a pass that wants some gradients alone, and which of its inputs lead to them.
struct Asked {
  const Node* node = nullptr;
  std::vector<char> wanted;
};
thread_local Asked* t_asked = nullptr;

class Run {
 public:
  Run(bool keep_graph, bool create_graph) : keep_graph_(keep_graph), create_graph_(create_graph) {}
  const int64_t id = g_runs++;

  // After the dependencies were counted.
  bool will_execute(Node* node) {
    return std::find(order_.begin(), order_.end(), node) != order_.end() && nodes_[node].needed;
  }

  void add_root(const Edge& edge, const Tensor& grad) {
    roots_.push_back(edge.node);
    add(edge, grad);
  }
  void capture(const Edge& edge, size_t position) {
    capturing_ = true;
    captured_.push_back(edge.node);  // a leaf outside the graph has no other owner of its node
    nodes_[edge.node.get()].captures.emplace_back(edge.output_nr, position);
  }
  TensorList execute(size_t results) {
    result_.resize(results);
    count_dependencies();
    if (capturing_) mark_needed();
    GradModeGuard mode(create_graph_);
    struct Current {
      Run* before;
      explicit Current(Run* run) : before(std::exchange(t_run, run)) {}
      ~Current() { t_run = before; }
    } current(this);
    for (const auto& root : roots_) {
      Pending& p = nodes_[root.get()];
      if (p.dependencies == 0 && !std::exchange(queued_[root.get()], true)) ready_.push(root);
    }
    while (!ready_.empty()) {
      const Ref<Node> node = ready_.top();
      ready_.pop();
      step(node);
    }
    return std::move(result_);
  }

 private:
  void add(const Edge& edge, const Tensor& grad) {
    Pending& p = nodes_[edge.node.get()];
    const size_t n = std::max<size_t>(edge.node->outputs().size(), static_cast<size_t>(edge.output_nr) + 1);
    if (p.grads.size() < n) {
      p.grads.resize(n);
      p.owned.resize(n);
    }
    Tensor& slot = p.grads[edge.output_nr];
    if (!slot.defined()) {
      slot = grad;
    } else if (p.owned[edge.output_nr] && !create_graph_) {
      ops::add_(slot, grad);
    } else {
      slot = ops::add(slot, grad);
      p.owned[edge.output_nr] = 1;
    }
  }

  void count_dependencies() {
    std::vector<Node*> stack;
    std::unordered_map<Node*, bool> seen;
    for (const auto& r : roots_)
      if (!std::exchange(seen[r.get()], true)) stack.push_back(r.get());
    while (!stack.empty()) {
      Node* n = stack.back();
      stack.pop_back();
      order_.push_back(n);
      for (const Edge& e : n->next()) {
        if (!e.node) continue;
        ++nodes_[e.node.get()].dependencies;
        if (!std::exchange(seen[e.node.get()], true)) stack.push_back(e.node.get());
      }
    }
  }

  // needed(n) = n is captured or some successor is needed; sequence order makes one ascending sweep enough,
  // except that accumulators (leaves) have no successors and come first.
  void mark_needed() {
    std::sort(order_.begin(), order_.end(), [](Node* a, Node* b) {
      if (a->is_accumulator() != b->is_accumulator()) return a->is_accumulator();
      return a->sequence() < b->sequence();
    });
    // An in-place write can hang an older node behind a newer one, so repeat until nothing changes.
    for (Node* n : order_) nodes_[n].needed = !nodes_[n].captures.empty();
    for (bool changed = true; changed;) {
      changed = false;
      for (Node* n : order_) {
        Pending& p = nodes_[n];
        if (p.needed) continue;
        for (const Edge& e : n->next())
          if (e.node && nodes_[e.node.get()].needed) {
            p.needed = changed = true;
            break;
          }
      }
    }
  }

  void run_tensor_hooks(Node* node, TensorList& grads) {
    if (node->is_accumulator() && grads[0].defined())
      grads[0] = static_cast<AccumulateGrad*>(node)->run_hooks(std::move(grads[0]));
    NodeHooks* hooks = node->hooks_or_null();
    if (!hooks) return;
    for (size_t i = 0; i < hooks->tensor.size() && i < grads.size(); ++i) {
      const auto items = hooks->tensor[i].items;
      for (const auto& [id, hook] : items)
        if (grads[i].defined())
          if (Tensor changed = hook(grads[i]); changed.defined()) grads[i] = changed;
    }
    for (size_t i = 0; i < hooks->retain.size() && i < grads.size(); ++i) {
      const auto items = hooks->retain[i].items;
      for (const auto& [id, hook] : items)
        if (grads[i].defined()) hook(grads[i]);
    }
  }

  void step(const Ref<Node>& node) {
    Pending& pending = nodes_[node.get()];
    TensorList grads = std::move(pending.grads);
    const auto captures = pending.captures;
    const bool needed = pending.needed;
    grads.resize(std::max(grads.size(), node->outputs().size()));
    run_tensor_hooks(node.get(), grads);
    for (const auto& [output_nr, position] : captures) result_[position] = grads[output_nr];
    bool any = false;
    for (const Tensor& g : grads) any = any || g.defined();
    const bool leads_on = !capturing_ || (needed && has_needed_next(node.get()));
    TensorList out;
    if (any && leads_on) {
      if (NodeHooks* hooks = node->hooks_or_null())
        for (const auto& [id, hook] : std::vector(hooks->pre.items)) hook(grads);
      materialize(node.get(), grads);
      out = apply(node.get(), grads);
      if (anomaly().check_nan) refuse_nan(node.get(), out);
      if (NodeHooks* hooks = node->hooks_or_null())
        for (const auto& [id, hook] : std::vector(hooks->post.items)) hook(out, grads);
      if (!keep_graph_) node->release_saved();
      CCDL_CHECK(out.size() <= node->next().size() || node->next().empty(), Autograd,
                 "backward: ", node->name(), " returned ", out.size(), " gradients for ", node->next().size(),
                 " inputs");
    }
    grads.clear();
    out.resize(node->next().size());
    for (size_t i = 0; i < node->next().size(); ++i) {
      const Edge& e = node->next()[i];
      if (!e.node) continue;
      if (out[i].defined() && nodes_[e.node.get()].needed) add(e, fit(node.get(), i, std::move(out[i]), e));
      Pending& p = nodes_[e.node.get()];
      if (--p.dependencies == 0 && !std::exchange(queued_[e.node.get()], true)) ready_.push(e.node);
    }
  }

  TensorList apply(Node* node, const TensorList& grads) {
    if (!capturing_) return node->apply(grads);
    Asked asked{node, std::vector<char>(node->next().size())};
    for (size_t i = 0; i < asked.wanted.size(); ++i) {
      Node* next = node->next()[i].node.get();
      asked.wanted[i] = next && nodes_[next].needed;
    }
    struct Asking {
      Asked* before;
      explicit Asking(Asked* asked) : before(std::exchange(t_asked, asked)) {}
      ~Asking() { t_asked = before; }
    } asking(&asked);
    return node->apply(grads);
  }

  static void refuse_nan(Node* node, const TensorList& out) {
    NoGradGuard no_grad;
    for (size_t i = 0; i < out.size(); ++i)
      CCDL_CHECK(!out[i].defined() || !is_floating(out[i].dtype()) ||
                     !ops::item(ops::any(ops::isnan(out[i]))).to_bool(),
                 Autograd, "backward: Function '", node->name(), "' returned nan values in its ", i,
                 "th output");
  }

  bool has_needed_next(Node* node) {
    for (const Edge& e : node->next())
      if (e.node && nodes_[e.node.get()].needed) return true;
    return false;
  }

  static void materialize(Node* node, TensorList& grads) {
    if (!node->materialize_grads()) return;
    for (size_t i = 0; i < grads.size(); ++i) {
      const OutputInfo& info = node->outputs()[i];
      if (!grads[i].defined() && info.is_set) grads[i] = ops::zeros(info.sizes, info.dtype, info.device);
    }
  }

  // The gradient as the input it belongs to needs it: summed over broadcast dims, cast, checked.
  static Tensor fit(Node* from, size_t input, Tensor g, const Edge& e) {
    if (static_cast<size_t>(e.output_nr) >= e.node->outputs().size()) return g;
    const OutputInfo& info = e.node->outputs()[e.output_nr];
    if (!info.is_set) return g;
    if (!(g.sizes() == info.sizes)) {
      CCDL_CHECK(is_expandable_to(info.sizes, g.sizes()), Autograd, "backward: ", from->name(),
                 " returned an invalid gradient at index ", input, ": got ", g.sizes(),
                 " but expected a shape compatible with ", info.sizes);
      g = ops::sum_to(g, info.sizes);
    }
    if (g.dtype() != info.dtype || !(g.device() == info.device))
      g = ops::to(g, info.dtype, info.device, false);
    return g;
  }

  bool keep_graph_, create_graph_, capturing_ = false;
  std::vector<Ref<Node>> roots_, captured_;
  std::vector<Node*> order_;
  std::unordered_map<Node*, Pending> nodes_;
  std::unordered_map<Node*, bool> queued_;
  std::priority_queue<Ref<Node>, std::vector<Ref<Node>>, Later> ready_;
  TensorList result_;
};

Tensor root_grad(const char* op, const Tensor& y, const Tensor& given) {
  if (!given.defined()) {
    CCDL_CHECK(y.numel() == 1, Autograd, op, ": grad can be implicitly created only for scalar outputs, got ",
               describe(y), "; pass a gradient of that shape or reduce it, for example with .sum()");
    return ops::ones(y.sizes(), y.dtype(), y.device());
  }
  CCDL_CHECK(given.sizes() == y.sizes(), Autograd, op, ": Mismatch in shape: the gradient has sizes ",
             given.sizes(), " but the output has ", y.sizes());
  return given.dtype() == y.dtype() ? given : ops::to(given, y.dtype());
}

void add_roots(const char* op, Run& run, const TensorList& outputs, const TensorList& grad_outputs) {
  CCDL_CHECK(grad_outputs.empty() || grad_outputs.size() == outputs.size(), Autograd, op, ": got ",
             outputs.size(), " outputs and ", grad_outputs.size(), " gradients");
  for (size_t i = 0; i < outputs.size(); ++i) {
    CCDL_CHECK(outputs[i].defined() && requires_grad(outputs[i]), Autograd, op, ": element ", i,
               " of tensors does not require grad and does not have a grad_fn");
    run.add_root(gradient_edge(outputs[i]),
                 root_grad(op, outputs[i], grad_outputs.empty() ? Tensor() : grad_outputs[i]));
  }
}

TensorList run_captured(const char* op, const TensorList& outputs, const TensorList& inputs,
                        const TensorList& grad_outputs, bool keep_graph, bool create_graph) {
  Run run(keep_graph, create_graph);
  for (size_t i = 0; i < inputs.size(); ++i) {
    CCDL_CHECK(inputs[i].defined() && requires_grad(inputs[i]), Autograd, op,
               ": One of the differentiated Tensors does not require grad (input ", i, ")");
    run.capture(gradient_edge(inputs[i]), i);
  }
  add_roots(op, run, outputs, grad_outputs);
  return run.execute(inputs.size());
}

}  // namespace

bool Node::needs(size_t input) const {
  if (input >= next_.size() || !next_[input].node) return false;
  return !t_asked || t_asked->node != this || t_asked->wanted[input];
}

Anomaly& anomaly() {
  static Anomaly mode;
  return mode;
}

int64_t current_graph_task() { return t_run ? t_run->id : -1; }
bool will_execute(Node* node) { return t_run && t_run->will_execute(node); }

void backward(const TensorList& outputs, const TensorList& grad_outputs, bool keep_graph, bool create_graph,
              const TensorList& inputs) {
  if (!inputs.empty()) {
    const TensorList g = run_captured("backward", outputs, inputs, grad_outputs, keep_graph, create_graph);
    GradModeGuard mode(create_graph);
    for (size_t i = 0; i < inputs.size(); ++i)
      if (g[i].defined()) {
        accumulate_grad(inputs[i], g[i]);
        run_post_accumulate_hooks(inputs[i]);
      }
    return;
  }
  Run run(keep_graph, create_graph);
  add_roots("backward", run, outputs, grad_outputs);
  run.execute(0);
}

TensorList grad(const TensorList& outputs, const TensorList& inputs, const TensorList& grad_outputs,
                bool keep_graph, bool create_graph, bool allow_unused) {
  TensorList g = run_captured("grad", outputs, inputs, grad_outputs, keep_graph, create_graph);
  for (size_t i = 0; i < g.size(); ++i)
    CCDL_CHECK(allow_unused || g[i].defined(), Autograd,
               "grad: One of the differentiated Tensors appears to not have been used in the graph (input ",
               i, "); set allow_unused=True if this is the desired behavior");
  return g;
}

// ---- leaves ----

static std::mutex& accumulator_mutex() {
  static std::mutex m;
  return m;
}

AccumulateGrad::AccumulateGrad(const Tensor& variable) : variable_(variable) {
  outputs_.push_back({variable.sizes(), variable.dtype(), variable.device(), true});
}

AccumulateGrad::~AccumulateGrad() {
  std::lock_guard lock(accumulator_mutex());
  Meta* m = meta_or_null(variable_);
  if (m && m->accumulator == this) m->accumulator = nullptr;
}

Ref<Node> accumulator_of(const Tensor& leaf) {
  std::lock_guard lock(accumulator_mutex());
  Meta* m = meta(leaf);
  if (m->accumulator && m->accumulator->try_retain()) return Ref<Node>::adopt(m->accumulator);
  auto fresh = make_ref<AccumulateGrad>(leaf);
  m->accumulator = fresh.get();
  return fresh;
}

void run_post_accumulate_hooks(const Tensor& leaf) {
  const auto items = meta(leaf)->post_accumulate_hooks.items;
  for (const auto& [id, hook] : items) hook(leaf);
}

Tensor AccumulateGrad::run_hooks(Tensor g) const {
  const auto items = meta(variable_)->leaf_hooks.items;
  for (const auto& [id, hook] : items)
    if (Tensor changed = hook(g); changed.defined()) g = changed;
  return g;
}

namespace {

// The order in memory a gradient has to have: that of its dense variable, row-major for any other.
bool same_layout(const Tensor& variable, const Tensor& g) {
  if (!strides_dense(variable.sizes(), variable.strides())) return g.is_contiguous();
  for (int64_t d = 0; d < g.dim(); ++d)
    if (g.size(d) != 1 && g.stride(d) != variable.stride(d)) return false;
  return g.numel() > 0;
}

}  // namespace

void accumulate_grad(const Tensor& variable, const Tensor& g) {
  static std::mutex mutexes[16];
  Meta* m = meta(variable);
  std::lock_guard lock(mutexes[(reinterpret_cast<uintptr_t>(variable.impl()) >> 6) % 16]);
  if (!m->grad.defined()) {
    const bool ours = g.impl()->use_count() == 1 && g.storage()->use_count() == 1 && same_layout(variable, g);
    if (grad_enabled()) {
      m->grad = same_layout(variable, g) || !variable.is_contiguous()
                    ? ops::clone(g)
                    : ops::clone(g, MemoryFormat::Contiguous);
    } else if (ours) {
      m->grad = g;
    } else {
      Tensor copy = empty_like(variable);
      ops::copy_(copy, g);
      m->grad = copy;
    }
  } else if (grad_enabled()) {
    m->grad = ops::add(m->grad, g);
  } else {
    ops::add_(m->grad, g);
  }
}

TensorList AccumulateGrad::apply(const TensorList& grads) {
  // Moved out of the list where no hook looks at it later, so that a gradient nobody else holds becomes .grad
  // without a copy.
  Tensor g = hooks_ && !hooks_->post.items.empty() ? grads[0] : std::move(const_cast<Tensor&>(grads[0]));
  CCDL_CHECK(g.sizes() == variable_.sizes(), Autograd, "AccumulateGrad: the gradient has sizes ", g.sizes(),
             " but the leaf has ", variable_.sizes());
  accumulate_grad(variable_, g);
  g = Tensor();
  run_post_accumulate_hooks(variable_);
  return {};
}

}  // namespace ccdl::autograd
