// Nodes, saved tensors and the per-tensor autograd state, including in-place writes through views.
#include <ccdl/autograd/node.h>

#include <cstring>
#include <map>

#include <ccdl/autograd/accumulate.h>
#include <ccdl/autograd/saved_hooks.h>
#include <ccdl/core/tls.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/view.h>

namespace ccdl::autograd {

namespace {
CCDL_TLS bool t_grad_enabled = true;
CCDL_TLS Node* t_dead = nullptr;  // nodes waiting to be destroyed
CCDL_TLS bool t_destroying = false;
std::atomic<uint64_t> g_sequence{0};
}  // namespace

bool grad_enabled() { return t_grad_enabled; }
void set_grad_enabled(bool on) { t_grad_enabled = on; }
bool inference_mode_enabled() { return tensors_are_inference(); }
void set_inference_mode(bool on) { set_tensors_are_inference(on); }

Node::Node() : sequence_(g_sequence.fetch_add(1, std::memory_order_relaxed)) {}

const char* backward_name(const char* forward_name) {
  static std::mutex mutex;
  static std::map<std::string, std::string> names;
  std::lock_guard lock(mutex);
  std::string& out = names[forward_name];
  if (out.empty()) {
    bool upper = true;
    for (const char* c = forward_name; *c; ++c) {
      if (*c != '_') out += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(*c))) : *c;
      upper = *c == '_';
    }
    out += "Backward";
  }
  return out.c_str();
}

void destroy_node(Node* node) noexcept { delete node; }

void Node::destroy() noexcept {
  next_dead_ = t_dead;
  t_dead = this;
  if (t_destroying) return;
  t_destroying = true;
  while (Node* dead = t_dead) {
    t_dead = dead->next_dead_;
    destroy_node(dead);
  }
  t_destroying = false;
}

// ---- per-tensor state ----

Meta::~Meta() {
  if (weak) *weak = nullptr;
  delete accumulator.load(std::memory_order_acquire);
}

Meta* meta_or_null(const Tensor& x) { return static_cast<Meta*>(x.impl()->autograd.get()); }

Meta* meta(const Tensor& x) {
  auto& slot = x.impl()->autograd;
  if (!slot) slot = std::make_unique<Meta>();
  return static_cast<Meta*>(slot.get());
}

static OutputInfo info_of(const Tensor& x) { return {x.sizes(), x.dtype(), x.device(), true}; }

std::mutex& hook_lists() {
  static std::mutex* const mutex = new std::mutex;  // outlives hooks that static objects hold
  return *mutex;
}

namespace {

HookList<TensorHook>& hook_slot(std::vector<HookList<TensorHook>>& lists, int output_nr) {
  std::lock_guard lock(hook_lists());
  if (static_cast<int>(lists.size()) <= output_nr) lists.resize(output_nr + 1);
  return lists[output_nr];
}

void attach_retain(Meta* m) {
  auto weak = m->weak;
  m->retain_id = hook_slot(m->grad_fn->hooks().retain, m->output_nr).add([weak](const Tensor& g) {
    TensorImpl* p = *weak;
    if (!p || !p->try_retain()) return Tensor();
    const Tensor owner{Ref<TensorImpl>::adopt(p)};
    Meta* om = meta(owner);
    om->grad = om->grad.defined() ? ops::add(om->grad, g) : (grad_enabled() ? ops::clone(g) : g);
    return Tensor();
  });
}

// A new grad_fn, to which retain_grad() moves along.
void move_history(Meta* m, Ref<Node> fn, int output_nr) {
  if (m->retains_grad && m->grad_fn && m->grad_fn->hooks_or_null())
    for (auto& list : m->grad_fn->hooks().retain) list.remove(m->retain_id);
  m->grad_fn = std::move(fn);
  m->output_nr = output_nr;
  if (m->retains_grad && m->grad_fn) attach_retain(m);
}

// The gradient of base.as_strided(geometry): see as_strided_backward in ops/view.cpp.
bool stale_view(const Tensor& x, Meta* m) {
  return m->base.defined() && m->view_version != x.version() && requires_grad(m->base);
}

// The history of a stale view that cannot be rebuilt from its base is that of the values before the write.
void check_rebuilt(const Meta* m) {
  if (m->view_kind == Meta::ViewKind::Single) return;
  CCDL_CHECK(m->view_kind != Meta::ViewKind::NoGrad || m->grad_fn, Autograd,
             "grad_fn: A view was created in no_grad mode and its base or another view of its base has been "
             "modified inplace with grad mode enabled; make the view where gradients are recorded, or "
             "detach() it");
  fail(ErrorKind::Autograd,
       str("grad_fn: Output ", m->output_nr, " of ", m->grad_fn ? m->grad_fn->name() : "a function",
           " is a view and its base or another view of its base has been modified inplace. This view is the "
           "output of a function that returns multiple views or of a custom Function, whose history cannot "
           "follow the write: make it after the write, or use narrow/select"));
}
}  // namespace

Ref<Node> grad_fn(const Tensor& x) {
  Meta* m = meta_or_null(x);
  if (!m) return {};
  if (m->base.defined() && stale_view(x, m)) {
    check_rebuilt(m);
    GradModeGuard on(true);
    const Tensor fresh = ops::as_strided(m->base, x.sizes(), x.strides(), x.offset());
    move_history(m, meta(fresh)->grad_fn, 0);
    m->view_version = x.version();
  }
  return m->grad_fn;
}

bool requires_grad(const Tensor& x) {
  Meta* m = meta_or_null(x);
  if (!m) return false;
  return m->requires_grad || m->grad_fn || (m->base.defined() && stale_view(x, m));
}

bool is_leaf(const Tensor& x) {
  Meta* m = meta_or_null(x);
  return !m || !grad_fn(x);
}

bool is_view(const Tensor& x) {
  Meta* m = meta_or_null(x);
  return m && m->base.defined();
}

Edge gradient_edge(const Tensor& x) {
  Meta* m = meta_or_null(x);
  if (!m) return {};
  if (Ref<Node> fn = grad_fn(x)) return {fn, m->output_nr};
  if (!m->requires_grad) return {};
  return {accumulator_of(x), 0};
}

void set_requires_grad(const Tensor& x, bool value) {
  CCDL_CHECK(!value || is_floating(x.dtype()), Autograd,
             "requires_grad_: only Tensors of floating point dtype can require gradients, got ", describe(x),
             "; convert it with .float() first");
  if (!is_leaf(x)) {
    CCDL_CHECK(value, Autograd,
               "requires_grad_: you can only change requires_grad flags of leaf variables; use a detached "
               "copy (x.detach())");
    return;
  }
  if (!value && !meta_or_null(x)) return;
  CCDL_CHECK(!value || !x.impl()->inference || inference_mode_enabled(), Autograd,
             "requires_grad_: Setting requires_grad=True on inference tensor outside InferenceMode is not "
             "allowed; clone() it first (",
             describe(x), ")");
  meta(x)->requires_grad = value;
}

// A pass on another thread may be adding to it.
std::mutex& grad_mutex(const Tensor& x) {
  static std::mutex mutexes[16];
  return mutexes[(reinterpret_cast<uintptr_t>(x.impl()) >> 6) % 16];
}

Tensor grad(const Tensor& x) {
  Meta* m = meta_or_null(x);
  if (!m) return Tensor();
  std::lock_guard lock(grad_mutex(x));
  return m->grad;
}

void set_grad(const Tensor& x, const Tensor& g) {
  if (g.defined()) {
    CCDL_CHECK(!g.same(x), Runtime, "grad: can't assign a tensor as its own gradient");
    CCDL_CHECK(g.sizes() == x.sizes(), Shape,
               "grad: assigned grad has data of a different size: the tensor is ", describe(x),
               ", the gradient ", describe(g));
    CCDL_CHECK(g.dtype() == x.dtype(), DType,
               "grad: assigned grad has data of a different type: the tensor is ", describe(x),
               ", the gradient ", describe(g));
    CCDL_CHECK(g.device() == x.device(), Device, "grad: assigned grad is on ", g.device().name(),
               " but the tensor on ", x.device().name());
  } else if (!meta_or_null(x)) {
    return;
  }
  Meta* m = meta(x);
  Tensor old = g;  // leaves after the lock
  std::lock_guard lock(grad_mutex(x));
  std::swap(m->grad, old);
}

Tensor detach(const Tensor& x) { return alias(x, x.sizes(), x.strides(), x.offset()); }

Tensor data_of(const Tensor& x) {
  Tensor y = detach(x);
  y.impl()->own_version = make_ref<VersionCounter>(0);
  return y;
}

// ---- hooks ----

int64_t add_tensor_hook(const Tensor& x, TensorHook hook) {
  CCDL_CHECK(requires_grad(x), Autograd,
             "register_hook: cannot register a hook on a tensor that doesn't require gradient");
  if (Ref<Node> fn = grad_fn(x))
    return hook_slot(fn->hooks().tensor, meta(x)->output_nr).add(std::move(hook));
  return meta(x)->leaf_hooks.add(std::move(hook));
}

bool remove_tensor_hook(const Tensor& x, int64_t id) {
  Meta* m = meta_or_null(x);
  if (!m) return false;
  if (m->leaf_hooks.remove(id)) return true;
  if (!m->grad_fn || !m->grad_fn->hooks_or_null()) return false;
  for (auto& list : m->grad_fn->hooks().tensor)
    if (list.remove(id)) return true;
  return false;
}

void retain_grad(const Tensor& x) {
  CCDL_CHECK(requires_grad(x), Autograd,
             "retain_grad: can't retain_grad on a tensor that has requires_grad=False");
  if (is_leaf(x)) return;
  Meta* m = meta(x);
  if (m->retains_grad) return;
  m->retains_grad = true;
  if (!m->weak) m->weak = std::make_shared<TensorImpl*>(x.impl());
  attach_retain(m);
}

// ---- recording ----

bool needs_graph(const TensorList& inputs) {
  if (!grad_enabled()) return false;
  for (const Tensor& x : inputs)
    if (x.defined() && requires_grad(x)) return true;
  return false;
}

static void set_next(Node* node, std::span<const Tensor> inputs) {
  auto& next = node->next();
  next.reserve(inputs.size());
  for (const Tensor& x : inputs) next.emplace_back(x.defined() ? gradient_edge(x) : Edge{});
}

void record(Node* node, std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  set_next(node, inputs);
  node->outputs().resize(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& y = outputs[i];
    if (!y.defined() || !is_floating(y.dtype())) continue;
    Meta* m = meta(y);
    m->grad_fn = Ref<Node>(node);
    m->output_nr = static_cast<int>(i);
    m->view_version = y.version();
    node->outputs()[i] = info_of(y);
  }
}

// ---- in place ----

// A view may be written with a history when its own can be rebuilt from its base.
static void check_view(const char* op, const Meta* m) {
  if (m->view_kind == Meta::ViewKind::Single) return;
  CCDL_CHECK(m->view_kind != Meta::ViewKind::NoGrad || m->grad_fn, Autograd, op,
             ": A view was created in no_grad mode and is being modified inplace with grad mode enabled; "
             "move both into no_grad or both outside of it");
  const char* maker = m->grad_fn ? m->grad_fn->name() : "a function";
  CCDL_CHECK(m->view_kind != Meta::ViewKind::Multi, Autograd, op, ": Output ", m->output_nr, " of ", maker,
             " is a view and is being modified inplace. This view is the output of a function that returns "
             "multiple views. Such functions do not allow the output views to be modified inplace: clone() "
             "it first or use narrow/select");
  // made in the forward of a custom Function, without a history until that was recorded
  fail(ErrorKind::Autograd,
       str(op, ": Output ", m->output_nr, " of ", maker,
           " is a view and is being modified inplace. This view was created inside a custom Function (or "
           "because an input was returned as-is), whose backward the write would override: clone() the "
           "output of the custom Function"));
}

static void check_inplace_allowed(const char* op, const Tensor& x) {
  CCDL_CHECK(!x.storage()->read_only(), Runtime, op, ": the tensor (", describe(x),
             ") shares read-only memory with another library; clone it before writing");
  CCDL_CHECK(!x.impl()->inference || inference_mode_enabled(), Autograd, op,
             ": Inplace update to inference tensor outside InferenceMode is not allowed; clone() it first");
  if (x.numel() > 1 && std::strcmp(op, "fill_") != 0)  // one value for all may go to one place many times
    for (int64_t d = 0; d < x.dim(); ++d)
      CCDL_CHECK(x.stride(d) != 0 || x.size(d) <= 1, Runtime, op,
                 ": unsupported operation: more than one element of the written-to tensor refers to a single "
                 "memory location (",
                 describe(x), ", strides ", x.strides(),
                 "); clone() the tensor before performing the operation");
  Meta* m = meta_or_null(x);
  if (!m || !grad_enabled()) return;
  if (!requires_grad(x) && !(m->base.defined() && requires_grad(m->base))) return;
  if (!m->base.defined()) {
    CCDL_CHECK(!is_leaf(x), Autograd, op,
               ": a leaf Variable that requires grad is being used in an in-place operation (", describe(x),
               "); wrap the update in ccdl.no_grad() or work on a clone");
    return;
  }
  check_view(op, m);
  CCDL_CHECK(!is_leaf(m->base), Autograd, op,
             ": a view of a leaf Variable that requires grad is being used in an in-place operation; wrap "
             "the update in "
             "ccdl.no_grad() or work on a clone");
}

void check_inplace(const char* op, const Tensor& x) {
  check_inplace_allowed(op, x);
  announce_write(x);
}

namespace {

// A tensor with base's memory layout holding g, so that storage geometry of views applies to it.
Tensor in_layout(const Tensor& g, const Dims& sizes, const Dims& strides) {
  Tensor out = empty_strided(sizes, strides, g.dtype(), g.device());
  ops::copy_(out, g);
  return out;
}

// base with a window overwritten by new values. dbase = dy with the window zeroed; dvalues = the window of dy
struct CopySlices : Node {
  const char* name() const override { return "CopySlices"; }
  Dims base_sizes, base_strides, sizes, strides;
  int64_t offset = 0;  // of the window, relative to the base
  TensorList apply(const TensorList& grads) override {
    TensorList out(2);
    const Tensor laid = in_layout(grads[0], base_sizes, base_strides);
    if (needs(1))
      out[1] = ops::clone(ops::as_strided(laid, sizes, strides, offset), MemoryFormat::Contiguous);
    if (needs(0)) {
      ops::zero_(ops::as_strided(laid, sizes, strides, offset));
      out[0] = laid;
    }
    return out;
  }
};

// All of x replaced by a constant: dx = 0. Zeros go on, as in PyTorch, so that leaves behind them have a
// gradient and what was saved there is still checked.
struct OverwriteBackward : Node {
  const char* name() const override { return "OverwriteBackward"; }
  TensorList apply(const TensorList& grads) override {
    const Tensor& g = grads[0];
    return {g.defined() ? ops::zeros(g.sizes(), g.dtype(), g.device()) : Tensor()};
  }
};

}  // namespace

void rebase_history(const Tensor& x, Edge history) {
  Meta* m = meta_or_null(x);
  if (!grad_enabled() || (!history && !(m && requires_grad(x)))) {
    x.bump_version();
    return;
  }
  m = meta(x);
  if (!m->base.defined()) {
    if (!history) {
      auto node = make_ref<OverwriteBackward>();
      node->next().push_back(gradient_edge(x));
      node->outputs().push_back(info_of(x));
      history = {node, 0};
    }
    x.bump_version();
    move_history(m, history.node, history.output_nr);
    return;
  }
  check_view("in-place write", m);
  const Tensor& base = m->base;
  auto node = make_ref<CopySlices>();
  node->base_sizes = base.sizes();
  node->base_strides = base.strides();
  node->sizes = x.sizes();
  node->strides = x.strides();
  node->offset = x.offset() - base.offset();
  node->next() = {gradient_edge(base), std::move(history)};
  node->outputs().push_back(info_of(base));
  x.bump_version();
  move_history(meta(base), node, 0);
  m->view_version = x.version() - 1;  // grad_fn() rebuilds it from the base
  move_history(m, {}, 0);
}

void rebase_history(const Tensor& x, const Ref<Node>& node, const TensorList& inputs) {
  if (node) {
    set_next(node.get(), inputs);
    node->outputs().assign(1, info_of(x));
  }
  rebase_history(x, Edge{node, 0});
}

Tensor make_view(const Tensor& x, const Tensor& out, Ref<Node> node, Meta::ViewKind kind) {
  if (tensors_are_inference()) return out;
  Meta* m = meta(out);
  Meta* xm = meta_or_null(x);
  const bool nested = xm && xm->base.defined();
  m->base = nested ? xm->base : x;
  m->view_kind = !grad_enabled() ? Meta::ViewKind::NoGrad : kind;
  if (nested && xm->view_kind != Meta::ViewKind::Single && m->view_kind == Meta::ViewKind::Single)
    m->view_kind = xm->view_kind;
  m->view_version = out.version();
  if (node && needs_graph(x)) record(node, {x}, out);
  return out;
}

TensorList differentiate(const std::function<TensorList(const TensorList&)>& composite,
                         const TensorList& inputs, const TensorList& grads) {
  const bool higher = grad_enabled();  // else the result has no history
  GradModeGuard on(true);
  TensorList own(inputs.size()), wanted;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) continue;
    own[i] = !requires_grad(inputs[i]) ? inputs[i]
             : higher                  ? ops::identity_view(inputs[i])
                                       : detach(inputs[i]);
    if (!requires_grad(inputs[i])) continue;
    if (!higher) set_requires_grad(own[i], true);
    wanted.push_back(own[i]);
  }
  const TensorList outputs = composite(own);
  TensorList ys, dys;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (i < grads.size() && grads[i].defined() && outputs[i].defined() && requires_grad(outputs[i])) {
      ys.push_back(outputs[i]);
      dys.push_back(grads[i]);
    }
  TensorList result(inputs.size());
  if (ys.empty() || wanted.empty()) return result;
  const TensorList g = grad(ys, wanted, dys, higher, higher, true);
  for (size_t i = 0, j = 0; i < inputs.size(); ++i)
    if (own[i].defined() && requires_grad(inputs[i])) result[i] = g[j++];
  return result;
}

}  // namespace ccdl::autograd
