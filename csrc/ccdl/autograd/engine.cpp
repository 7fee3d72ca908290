// Reverse-mode execution: nodes run on the caller's thread in the order of a priority queue (latest recorded
// first) once all their incoming gradients have arrived. No recursion over the graph, so its depth is bounded
// by memory alone.
#include <algorithm>

#include <ccdl/autograd/accumulate.h>
#include <ccdl/autograd/run_table.h>
#include <ccdl/autograd/saved_hooks.h>
#include <ccdl/core/op_timer.h>
#include <ccdl/core/tls.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/unary.h>
#include <ccdl/ops/view.h>

namespace ccdl::autograd {

namespace {

class Run;
CCDL_TLS Run* t_run = nullptr;  // the innermost backward pass of this thread
std::atomic<int64_t> g_runs{0};

// The node being asked in a pass that wants some gradients alone, and which of its inputs lead to them.
struct Asked {
  const Node* node = nullptr;
  std::vector<char> wanted;
};
CCDL_TLS Asked* t_asked = nullptr;

thread_local std::unique_ptr<RunMemory> t_memory;  // of the last pass, unless one runs

class Run {
 public:
  Run(bool keep_graph, bool create_graph)
      : keep_graph_(keep_graph),
        create_graph_(create_graph),
        memory_(t_memory ? std::move(t_memory) : std::make_unique<RunMemory>()) {}
  ~Run() {
    if (table_.is_large()) return;
    memory_->order.clear();
    memory_->ready.clear();
    table_.clear();  // may run code of the user's, another pass included
    t_memory = std::move(memory_);
  }
  const int64_t id = g_runs++;

  // After the dependencies were counted.
  bool will_execute(Node* node) {
    const uint32_t i = table_.find(node);
    return i != RunTable::kNone && table_[i].seen && table_[i].needed;
  }

  void add_root(const Edge& edge, const Tensor& grad) {
    roots_.push_back(edge.node);
    add(table_[table_.at(edge.node.get())], edge, grad);
  }
  void capture(const Edge& edge, size_t position) {
    capturing_ = true;
    captured_.push_back(edge.node);  // a leaf outside the graph has no other owner of its node
    table_[table_.at(edge.node.get())].captures.emplace_back(edge.output_nr, position);
  }
  // The gradient arrives at that node, which then runs as it would in a pass without choice.
  void want(const Edge& edge) {
    capturing_ = true;
    captured_.push_back(edge.node);
    table_[table_.at(edge.node.get())].execute = true;
  }
  void call_at_end(std::function<void()> f) { callbacks_.push_back(std::move(f)); }
  TensorList execute(size_t results) {
    result_.resize(results);
    count_dependencies();
    if (capturing_) mark_needed();
    struct Current {
      Run* before;
      explicit Current(Run* run) : before(std::exchange(t_run, run)) {}
      ~Current() { t_run = before; }
    } current(this);
    run_nodes();
    for (size_t i = 0; i < callbacks_.size(); ++i) std::exchange(callbacks_[i], nullptr)();
    return std::move(result_);
  }

 private:
  void run_nodes() {
    GradModeGuard mode(create_graph_);
    for (const auto& root : roots_) make_ready(table_.find(root.get()));
    auto& ready = memory_->ready;
    while (!ready.empty()) {
      std::pop_heap(ready.begin(), ready.end());
      const uint32_t i = ready.back().second;
      ready.pop_back();
      step(i);
    }
  }
  // Accumulators first, then the latest recorded.
  static uint64_t priority(Node* node) {
    return node->sequence() | (node->is_accumulator() ? uint64_t{1} << 63 : 0);
  }
  void make_ready(uint32_t i) {
    Pending& p = table_[i];
    if (p.dependencies != 0 || std::exchange(p.queued, true)) return;
    memory_->ready.emplace_back(priority(p.node), i);
    std::push_heap(memory_->ready.begin(), memory_->ready.end());
  }
  Pending* pending(const Edge& e) { return e.node ? &table_[table_.at(e.node.get())] : nullptr; }

  TensorList take_list() {
    if (memory_->lists.empty()) return {};
    TensorList list = std::move(memory_->lists.back());
    memory_->lists.pop_back();
    return list;
  }
  void give_list(TensorList&& list) {
    list.clear();
    if (memory_->lists.size() < 16 && list.capacity() > 0 && list.capacity() <= 64)
      memory_->lists.push_back(std::move(list));
  }

  void add(Pending& p, const Edge& edge, const Tensor& grad) {
    const size_t n = std::max<size_t>(edge.node->outputs().size(), static_cast<size_t>(edge.output_nr) + 1);
    if (p.grads.size() < n) {
      if (p.grads.capacity() == 0) p.grads = take_list();
      p.grads.resize(n);
    }
    const uint64_t bit = edge.output_nr < 64 ? uint64_t{1} << edge.output_nr : 0;
    Tensor& slot = p.grads[edge.output_nr];
    if (!slot.defined()) {
      slot = grad;
    } else if ((p.owned & bit) && !create_graph_) {
      ops::add_(slot, grad);
    } else {
      slot = ops::add(slot, grad);
      p.owned |= bit;
    }
  }

  void count_dependencies() {
    auto& order = memory_->order;  // those before `done` have had their edges counted
    const auto reach = [&](Node* node) -> Pending& {
      const uint32_t i = table_.at(node);
      if (!std::exchange(table_[i].seen, true)) order.push_back(i);
      return table_[i];
    };
    for (const auto& root : roots_) reach(root.get());
    for (size_t done = 0; done < order.size(); ++done)
      for (const Edge& e : table_[order[done]].node->next())
        if (e.node) ++reach(e.node.get()).dependencies;
  }

  // needed(n) = n is captured or some successor is needed; sequence order makes one ascending sweep enough,
  // except that accumulators (leaves) have no successors and come first.
  void mark_needed() {
    auto& order = memory_->order;
    std::sort(order.begin(), order.end(), [this](uint32_t i, uint32_t j) {
      Node *a = table_[i].node, *b = table_[j].node;
      if (a->is_accumulator() != b->is_accumulator()) return a->is_accumulator();
      return a->sequence() < b->sequence();
    });
    // An in-place write can hang an older node behind a newer one, so repeat until nothing changes.
    for (uint32_t i : order) table_[i].needed = table_[i].execute || !table_[i].captures.empty();
    for (bool changed = true; changed;) {
      changed = false;
      for (uint32_t i : order)
        if (!table_[i].needed && has_needed_next(table_[i].node)) table_[i].needed = changed = true;
    }
  }

  void run_tensor_hooks(Node* node, TensorList& grads) {
    if (node->is_accumulator() && grads[0].defined())
      grads[0] = static_cast<AccumulateGrad*>(node)->run_hooks(std::move(grads[0]));
    NodeHooks* hooks = node->hooks_or_null();
    if (!hooks) return;
    for (size_t i = 0; i < grads.size(); ++i)
      for (const auto& [id, hook] : NodeHooks::of(hooks->tensor, i))
        if (grads[i].defined())
          if (Tensor changed = hook(grads[i]); changed.defined()) grads[i] = changed;
    for (size_t i = 0; i < grads.size(); ++i)
      for (const auto& [id, hook] : NodeHooks::of(hooks->retain, i))
        if (grads[i].defined()) hook(grads[i]);
  }

  void step(uint32_t index) {
    Node* const node = table_[index].node;  // the roots hold it
    const bool needed = table_[index].needed, execute = table_[index].execute;
    TensorList grads = std::move(table_[index].grads);
    const auto captures = std::move(table_[index].captures);
    grads.resize(std::max(grads.size(), node->outputs().size()));
    run_tensor_hooks(node, grads);
    for (const auto& [output_nr, position] : captures) result_[position] = grads[output_nr];
    bool any = false;
    for (const Tensor& g : grads) any = any || g.defined();
    const bool leads_on = !capturing_ || (needed && (execute || has_needed_next(node)));
    TensorList out;
    if (any && leads_on) {
      if (NodeHooks* hooks = node->hooks_or_null())
        for (const auto& [id, hook] : hooks->pre.snapshot()) hook(grads);
      materialize(node, grads);
      out = apply(node, grads);
      if (anomaly().check_nan) refuse_nan(node, out);
      if (NodeHooks* hooks = node->hooks_or_null())
        for (const auto& [id, hook] : hooks->post.snapshot()) hook(out, grads);
      if (!keep_graph_) node->release_saved();
      CCDL_CHECK(out.size() <= node->next().size() || node->next().empty(), Autograd,
                 "backward: ", node->name(), " returned ", out.size(), " gradients for ", node->next().size(),
                 " inputs");
    }
    give_list(std::move(grads));
    out.resize(node->next().size());
    for (size_t i = 0; i < node->next().size(); ++i) {
      const Edge& e = node->next()[i];
      if (!e.node) continue;
      const uint32_t next = table_.at(e.node.get());
      if (out[i].defined() && table_[next].needed) add(table_[next], e, fit(node, i, std::move(out[i]), e));
      --table_[next].dependencies;
      make_ready(next);
    }
    give_list(std::move(out));
  }

  TensorList apply(Node* node, const TensorList& grads) {
    const OpTimer timer(node->name(), true);
    if (!capturing_) return node->apply(grads);
    Asked asked{node, std::vector<char>(node->next().size())};
    for (size_t i = 0; i < asked.wanted.size(); ++i) {
      const Pending* p = pending(node->next()[i]);
      asked.wanted[i] = p && p->needed;
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
                 "th output.");
  }

  bool has_needed_next(Node* node) {
    for (const Edge& e : node->next())
      if (const Pending* p = pending(e); p && p->needed) return true;
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
                 " but expected shape compatible with ", info.sizes);
      g = ops::sum_to(g, info.sizes);
    }
    if (g.dtype() != info.dtype || !(g.device() == info.device))
      g = ops::to(g, info.dtype, info.device, false);
    return g;
  }

  bool keep_graph_, create_graph_, capturing_ = false;
  std::unique_ptr<RunMemory> memory_;
  RunTable& table_ = memory_->table;
  std::vector<Ref<Node>> roots_, captured_;
  std::vector<std::function<void()>> callbacks_;
  TensorList result_;
};

Tensor root_grad(const char* op, size_t i, const Tensor& y, const Tensor& given) {
  if (!given.defined()) {
    CCDL_CHECK(y.numel() == 1, Autograd, op, ": grad can be implicitly created only for scalar outputs, got ",
               describe(y), "; pass a gradient of that shape or reduce it, for example with .sum()");
    return ops::ones(y.sizes(), y.dtype(), y.device());
  }
  CCDL_CHECK(given.sizes() == y.sizes(), Autograd, op, ": Mismatch in shape: grad_output[", i,
             "] has a shape of ", given.sizes(), " and output[", i, "] has a shape of ", y.sizes(), ".");
  return given.dtype() == y.dtype() ? given : ops::to(given, y.dtype());
}

void add_roots(const char* op, Run& run, const TensorList& outputs, const TensorList& grad_outputs) {
  CCDL_CHECK(grad_outputs.empty() || grad_outputs.size() == outputs.size(), Autograd, op, ": got ",
             outputs.size(), " outputs and ", grad_outputs.size(), " gradients");
  for (size_t i = 0; i < outputs.size(); ++i) {
    CCDL_CHECK(outputs[i].defined() && requires_grad(outputs[i]), Autograd, op, ": element ", i,
               " of tensors does not require grad and does not have a grad_fn");
    run.add_root(gradient_edge(outputs[i]),
                 root_grad(op, i, outputs[i], grad_outputs.empty() ? Tensor() : grad_outputs[i]));
  }
}

void check_used(const Tensor& g, size_t i, bool allow_unused) {
  CCDL_CHECK(allow_unused || g.defined(), Autograd,
             "grad: One of the differentiated Tensors appears to not have been used in the graph (input ", i,
             "). Set allow_unused=True if this is the desired behavior");
}

// Stands for an output of which only that is known.
Tensor zeros_of(const OutputInfo& info) { return ops::zeros(info.sizes, info.dtype, info.device); }

void check_differentiated(const char* op, const Tensor& x, size_t i) {
  CCDL_CHECK(x.defined() && requires_grad(x), Autograd, op,
             ": One of the differentiated Tensors does not require grad (input ", i, ")");
}

TensorList run_captured(const char* op, const TensorList& outputs, const TensorList& inputs,
                        const TensorList& grad_outputs, bool keep_graph, bool create_graph) {
  Run run(keep_graph, create_graph);
  for (size_t i = 0; i < inputs.size(); ++i) {
    check_differentiated(op, inputs[i], i);
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
void queue_callback(std::function<void()> f) {
  CCDL_CHECK(t_run, Autograd, "queue_callback: Final callbacks can only be installed during backward pass.");
  t_run->call_at_end(std::move(f));
}
bool will_execute(Node* node) { return t_run && t_run->will_execute(node); }

void backward(const TensorList& outputs, const TensorList& grad_outputs, bool keep_graph, bool create_graph,
              const TensorList& inputs) {
  if (!inputs.empty()) {
    Run run(keep_graph, create_graph);
    for (size_t i = 0; i < inputs.size(); ++i) {
      check_differentiated("backward", inputs[i], i);
      retain_grad(inputs[i]);
      run.want(gradient_edge(inputs[i]));
    }
    add_roots("backward", run, outputs, grad_outputs);
    run.execute(0);
    return;
  }
  Run run(keep_graph, create_graph);
  add_roots("backward", run, outputs, grad_outputs);
  run.execute(0);
}

TensorList grad(const TensorList& outputs, const TensorList& inputs, const TensorList& grad_outputs,
                bool keep_graph, bool create_graph, bool allow_unused) {
  TensorList g = run_captured("grad", outputs, inputs, grad_outputs, keep_graph, create_graph);
  for (size_t i = 0; i < g.size(); ++i) check_used(g[i], i, allow_unused);
  return g;
}

TensorList run_between(const std::vector<Edge>& outputs, const TensorList& grad_outputs, bool keep_graph,
                       bool create_graph, const std::vector<Edge>& inputs, bool allow_unused,
                       bool accumulate) {
  const char* op = accumulate ? "backward" : "grad";
  Run run(keep_graph, create_graph);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (accumulate)
      run.want(inputs[i]);
    else
      run.capture(inputs[i], i);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto& infos = outputs[i].node->outputs();
    CCDL_CHECK(outputs[i].output_nr >= 0 && static_cast<size_t>(outputs[i].output_nr) < infos.size(), Runtime,
               op, ": outputs[", i, "] is output ", outputs[i].output_nr, " of ", outputs[i].node->name(),
               ", which has ", infos.size());
    const OutputInfo& info = infos[static_cast<size_t>(outputs[i].output_nr)];
    const bool given = i < grad_outputs.size() && grad_outputs[i].defined();
    const Tensor like = given ? Tensor() : zeros_of(info);
    CCDL_CHECK(!given || grad_outputs[i].sizes() == info.sizes, Autograd, op,
               ": Mismatch in shape: grad_output[", i, "] has a shape of ", grad_outputs[i].sizes(),
               " and output[", i, "] has a shape of ", info.sizes, ".");
    run.add_root(outputs[i], given ? ops::to(grad_outputs[i], info.dtype) : root_grad(op, i, like, Tensor()));
  }
  TensorList g = run.execute(accumulate ? 0 : inputs.size());
  for (size_t i = 0; i < g.size(); ++i) check_used(g[i], i, allow_unused);
  return g;
}

// ---- leaves ----

// Held around the end of an accumulator's hooks; see destroy().
static std::mutex& ending_hooks() {
  static std::mutex m;
  return m;
}

AccumulateGrad::AccumulateGrad(const Tensor& variable) : leaf_(variable.impl()) { describe_leaf(); }

void AccumulateGrad::describe_leaf() {
  outputs_.assign(1, {leaf_->sizes, leaf_->dtype, leaf_->storage->device(), true});
}

Ref<Node> AccumulateGrad::acquire() {
  if (retain_first()) {
    leaf_->retain();
    const OutputInfo& info = outputs_[0];
    if (!(info.sizes == leaf_->sizes && info.dtype == leaf_->dtype &&
          info.device == leaf_->storage->device()))
      describe_leaf();
  }
  if (hooked_.load(std::memory_order_acquire)) std::lock_guard wait(ending_hooks());
  return Ref<Node>::adopt(this);
}

// Nobody counts a reference. Hooks end with the graph they were registered in, unless another graph has begun
// to use the accumulator meanwhile, whose acquire() then waits here or finds them still in place.
void AccumulateGrad::destroy() noexcept {
  if (hooked_.load(std::memory_order_acquire)) {
    std::unique_ptr<NodeHooks> ended;
    std::lock_guard lock(ending_hooks());
    if (use_count() == 0) {
      ended = std::move(hooks_);
      hooked_.store(false, std::memory_order_release);
    }
  }
  leaf_->release();  // may end the leaf and this with it
}

Ref<Node> accumulator_of(const Tensor& leaf) {
  Meta* m = meta(leaf);
  AccumulateGrad* accumulator = m->accumulator.load(std::memory_order_acquire);
  if (!accumulator) {
    auto* fresh = new AccumulateGrad(leaf);
    if (m->accumulator.compare_exchange_strong(accumulator, fresh, std::memory_order_acq_rel))
      accumulator = fresh;
    else
      delete fresh;  // another thread was first
  }
  return accumulator->acquire();
}

void run_post_accumulate_hooks(const Tensor& leaf) {
  for (const auto& [id, hook] : meta(leaf)->post_accumulate_hooks.snapshot()) hook(leaf);
}

Tensor AccumulateGrad::run_hooks(Tensor g) const {
  for (const auto& [id, hook] : meta(variable())->leaf_hooks.snapshot())
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
  Meta* m = meta(variable);
  Tensor old;  // leaves after the lock
  std::lock_guard lock(grad_mutex(variable));
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
    old = m->grad;
    m->grad = ops::add(old, g);
  } else {
    ops::add_(m->grad, g);
  }
}

TensorList AccumulateGrad::apply(const TensorList& grads) {
  // Moved out of the list where no hook looks at it later, so that a gradient nobody else holds becomes .grad
  // without a copy.
  const Tensor leaf = variable();
  Tensor g = hooks_ && !hooks_->post.snapshot().empty() ? grads[0] : std::move(const_cast<Tensor&>(grads[0]));
  CCDL_CHECK(g.sizes() == leaf.sizes(), Autograd, "AccumulateGrad: the gradient has sizes ", g.sizes(),
             " but the leaf has ", leaf.sizes());
  accumulate_grad(leaf, g);
  g = Tensor();
  run_post_accumulate_hooks(leaf);
  return {};
}

}  // namespace ccdl::autograd
