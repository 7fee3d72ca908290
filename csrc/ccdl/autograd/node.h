// The backward graph. A Node is one op's backward: it takes the gradients of that op's outputs and returns
// those of its inputs, one per edge in next(), in the order given to record(). The engine brings every
// returned gradient to the shape and dtype of the input it belongs to (sums over broadcast dims, casts), so a
// formula need not.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ccdl/core/small_vec.h>
#include <ccdl/core/tensor.h>

namespace ccdl::autograd {

class Node;

struct Edge {
  Ref<Node> node;     // null: this input needs no gradient
  int output_nr = 0;  // which output of that node's op the input is
  explicit operator bool() const { return static_cast<bool>(node); }
};

// What the engine must know of an op's output to check and shape its gradient.
struct OutputInfo {
  Dims sizes;
  DType dtype = DType::Float32;
  Device device;
  bool is_set = false;
};

// Inside the node as long as they are few.
using EdgeList = SmallVec<Edge, 3>;
using OutputList = SmallVec<OutputInfo, 1>;

using TensorHook = std::function<Tensor(const Tensor& grad)>;  // undefined result: keep grad
using NodePreHook = std::function<void(TensorList& grads)>;    // may replace entries
using NodePostHook = std::function<void(TensorList& grad_inputs, const TensorList& grads)>;

std::mutex& hook_lists();  // held while any list of hooks changes or is copied, never while a hook runs

// Hooks in registration order; removal by id. A pass runs over a snapshot, so that a hook may be added or
// removed meanwhile, by itself or by another thread.
template <class F>
struct HookList {
  using Items = std::vector<std::pair<int64_t, F>>;
  Items items;
  size_t count = 0;  // of items; read without the lock
  int64_t add(F f) {
    static std::atomic<int64_t> next_id{1};
    const int64_t id = next_id++;
    std::lock_guard lock(hook_lists());
    items.emplace_back(id, std::move(f));
    std::atomic_ref(count).store(items.size(), std::memory_order_release);
    return id;
  }
  bool remove(int64_t id) {
    F removed;  // destroyed after the lock
    std::lock_guard lock(hook_lists());
    for (auto it = items.begin(); it != items.end(); ++it)
      if (it->first == id) {
        removed = std::move(it->second);
        items.erase(it);
        std::atomic_ref(count).store(items.size(), std::memory_order_release);
        return true;
      }
    return false;
  }
  Items take() {
    std::lock_guard lock(hook_lists());
    std::atomic_ref(count).store(0, std::memory_order_release);
    return std::exchange(items, {});
  }
  Items snapshot() const {
    if (std::atomic_ref(const_cast<size_t&>(count)).load(std::memory_order_acquire) == 0) return {};
    std::lock_guard lock(hook_lists());
    return items;
  }
};

struct NodeHooks {
  std::vector<HookList<TensorHook>> tensor;  // per output: run before the node, in order
  std::vector<HookList<TensorHook>> retain;  // per output: see the final gradient, after the others
  HookList<NodePreHook> pre;
  HookList<NodePostHook> post;
  static HookList<TensorHook>::Items of(const std::vector<HookList<TensorHook>>& lists, size_t output) {
    std::lock_guard lock(hook_lists());
    return output < lists.size() ? lists[output].items : HookList<TensorHook>::Items{};
  }
};

class Node : public RefCounted {
 public:
  Node();
  virtual const char* name() const = 0;
  // grads[i] belongs to output i and is undefined where nothing flowed back (materialised as zeros when
  // materialize_grads() says so). Returns one gradient per next edge; undefined means zero.
  virtual TensorList apply(const TensorList& grads) = 0;
  // Drops saved tensors; called after apply unless the graph is kept. A second apply then raises through
  // SavedTensor.
  virtual void release_saved() {}
  virtual bool materialize_grads() const { return false; }
  virtual bool is_accumulator() const { return false; }

  // Whether this input wants a gradient, that is, leads to one the pass asks for.
  bool needs(size_t input) const;
  const EdgeList& next() const { return next_; }
  EdgeList& next() { return next_; }
  uint64_t sequence() const { return sequence_; }
  OutputList& outputs() { return outputs_; }
  NodeHooks& hooks() {
    if (!hooks_) {
      hooks_ = std::make_unique<NodeHooks>();
      hooked_.store(true, std::memory_order_release);
    }
    return *hooks_;
  }
  NodeHooks* hooks_or_null() { return hooked_.load(std::memory_order_acquire) ? hooks_.get() : nullptr; }

  void* object = nullptr;  // the Python wrapper, not counted

 protected:
  friend void destroy_node(Node* node) noexcept;
  // Destruction never recurses: a dying node hands its edges to a queue drained by the outermost release.
  void destroy() noexcept override;
  uint64_t sequence_;
  Node* next_dead_ = nullptr;
  std::atomic<bool> hooked_{false};  // hooks_ was made
  EdgeList next_;
  OutputList outputs_;
  std::unique_ptr<NodeHooks> hooks_;
};

// "exp" -> "ExpBackward", "mul_" -> "MulBackward": the name of a node made by an op with that (static) name.
const char* backward_name(const char* forward_name);

// A tensor kept for backward, with the version it had. get() raises when the graph was already freed or the
// tensor was modified in place since. An op's own output is kept without its history (no reference cycle) and
// gets it back in get().
class SavedTensor {
 public:
  SavedTensor() = default;
  explicit SavedTensor(const Tensor& x);  // an input
  SavedTensor(const Tensor& output, const Node* producer,
              int output_nr = 0);  // an output of the node holding this
  SavedTensor& operator=(const Tensor& x) { return *this = SavedTensor(x); }
  Tensor get(Node* holder) const;
  bool defined() const { return saved_; }
  void reset();

 private:
  Tensor tensor_;
  uint32_t version_ = 0;
  int output_nr_ = -1;  // >= 0: output of the holder; < -1: packed by a hook
  bool saved_ = false, released_ = false;
};

class AccumulateGrad;

// What autograd keeps per tensor; absent on tensors that never touched a graph.
struct Meta : AutogradMetaBase {
  ~Meta() override;
  std::shared_ptr<TensorImpl*> weak;  // made by retain_grad; cleared when the tensor dies
  int64_t retain_id = 0;
  bool requires_grad = false;  // leaf flag
  bool retains_grad = false;
  int output_nr = 0;
  Ref<Node> grad_fn;
  Tensor grad;
  std::atomic<AccumulateGrad*> accumulator{nullptr};  // owned: see accumulate.h
  HookList<TensorHook> leaf_hooks;                    // hooks on a leaf live here; on others in the grad_fn
  HookList<std::function<void(const Tensor&)>> post_accumulate_hooks;

  // Views: base is the tensor that owns the history, geometry is relative to the storage.
  Tensor base;
  uint32_t view_version = 0;  // storage version for which grad_fn is right
  enum class ViewKind : uint8_t { None, Single, Multi, NoGrad } view_kind = ViewKind::None;
};

// Per-tensor queries used by ops, engine and binding.
Meta* meta(const Tensor& x);  // created on demand
Meta* meta_or_null(const Tensor& x);
bool requires_grad(const Tensor& x);
bool is_leaf(const Tensor& x);
bool is_view(const Tensor& x);
Ref<Node> grad_fn(const Tensor& x);   // regenerated for a view whose base was written through another view
Edge gradient_edge(const Tensor& x);  // grad_fn, or the accumulator of a leaf that requires grad
void set_requires_grad(const Tensor& x, bool value);  // leafs only; floating dtypes only
Tensor grad(const Tensor& x);
std::mutex& grad_mutex(const Tensor& x);             // held while .grad of the leaf is read or written
void set_grad(const Tensor& x, const Tensor& grad);  // checks shape, dtype, device
Tensor detach(const Tensor& x);                      // shares storage and version, no history
Tensor data_of(const Tensor& x);                     // shares storage, counts its own writes, no history
void retain_grad(const Tensor& x);
int64_t add_tensor_hook(const Tensor& x, TensorHook hook);
bool remove_tensor_hook(const Tensor& x, int64_t id);

// Grad mode is thread-local.
bool grad_enabled();
void set_grad_enabled(bool on);
bool inference_mode_enabled();
void set_inference_mode(bool on);
struct GradModeGuard {
  explicit GradModeGuard(bool on) : before_(grad_enabled()) { set_grad_enabled(on); }
  ~GradModeGuard() { set_grad_enabled(before_); }
  bool before_;
};
struct NoGradGuard : GradModeGuard {
  NoGradGuard() : GradModeGuard(false) {}
};

// True when an op on these inputs has to record a node.
template <class... T>
bool needs_graph(const T&... inputs) {
  return grad_enabled() && ((inputs.defined() && requires_grad(inputs)) || ...);
}
bool needs_graph(const TensorList& inputs);

// Ties node to inputs and outputs: next edges from the inputs (undefined inputs get none), outputs get node
// as grad_fn.
void record(Node* node, std::span<const Tensor> inputs, std::span<const Tensor> outputs);
inline void record(const Ref<Node>& node, const TensorList& inputs, const Tensor& output) {
  record(node.get(), inputs, {&output, 1});
}
inline void record(const Ref<Node>& node, std::initializer_list<Tensor> inputs, const Tensor& output) {
  record(node.get(), {inputs.begin(), inputs.size()}, {&output, 1});
}
inline void record(Node* node, std::initializer_list<Tensor> inputs, const TensorList& outputs) {
  record(node, std::span<const Tensor>{inputs.begin(), inputs.size()}, outputs);
}

// In place. check_inplace(op, x) raises for a leaf that requires grad, a multi-output or expanded view,
// read-only memory. After the data of x was overwritten with a value whose history is `history` (null edge: a
// constant), the version is bumped and x, its base and all views see the new history (copy-slices when x is a
// view).
void check_inplace(const char* op, const Tensor& x);
void rebase_history(const Tensor& x, Edge history);

// The graph's view of "x with new contents": next edges go to `inputs`, x (or its base) continues from the
// node.
void rebase_history(const Tensor& x, const Ref<Node>& node, const TensorList& inputs);

// Records that `out` is a view of x made by op `node` (null outside grad mode) and returns it. `kind` Multi
// for split & co.
Tensor make_view(const Tensor& x, const Tensor& out, Ref<Node> node,
                 Meta::ViewKind kind = Meta::ViewKind::Single);

// dy flows into outputs (a scalar output may leave its gradient undefined = 1); leafs accumulate into .grad.
void backward(const TensorList& outputs, const TensorList& grad_outputs = {}, bool keep_graph = false,
              bool create_graph = false, const TensorList& inputs = {});
// Gradients with respect to inputs; .grad is left alone. allow_unused: unreachable inputs give undefined,
// else an error.
TensorList grad(const TensorList& outputs, const TensorList& inputs, const TensorList& grad_outputs = {},
                bool keep_graph = false, bool create_graph = false, bool allow_unused = false);

// The same between points of the graph that need not be tensors any more. With `accumulate` the inputs that
// are leaves add to their .grad and nothing is returned; no inputs means all leaves.
TensorList run_between(const std::vector<Edge>& outputs, const TensorList& grad_outputs, bool keep_graph,
                       bool create_graph, const std::vector<Edge>& inputs, bool allow_unused,
                       bool accumulate);

// The double-backward rule of fused ops (DESIGN 6.4). Called inside apply(): re-runs the composite on the
// saved inputs and differentiates that, so the result carries its own history where grad_enabled(), and none
// elsewhere. grads[i] belongs to composite output i.
TensorList differentiate(const std::function<TensorList(const TensorList&)>& composite,
                         const TensorList& inputs, const TensorList& grads);

}  // namespace ccdl::autograd
