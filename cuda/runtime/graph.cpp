// CUDA graphs: what a thread queues during a capture becomes one graph that replay() queues as a whole.
// Blocks come from the graph's own pool, so addresses stay valid; numbers that change from step to step
// (learning rate, step count, random offset) live in a small device table that replay() fills first.
#include <ccdl/core/dispatch.h>
#include <ccdl/core/generator.h>
#include <runtime/launch.h>
#include <runtime/state.h>

#include <bit>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace ccdl::cu {

namespace {

// What is left of a graph: taken apart where waiting for the device and giving memory back are allowed, not
// while its thread captures another graph.
struct Remains {
  int device = 0;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  void *table = nullptr, *table_block = nullptr;
  std::vector<std::pair<void*, size_t>> pinned;
  std::vector<void*> held;
  MemoryPool* pool = nullptr;
  std::shared_ptr<void> side;

  void bury() {
    const BoundDevice bound(device);
    cudaDeviceSynchronize();  // replays may still be running
    if (exec != nullptr) cudaGraphExecDestroy(exec);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    deallocate(table, 0, device, table_block);
    for (const auto& [p, capacity] : pinned) free_pinned(p, capacity);
    for (void* p : held) release_held(p);
    if (pool != nullptr) release_pool(pool);
    side.reset();
  }
};

struct Graveyard {
  std::mutex mutex;
  std::vector<Remains> waiting;
};
Graveyard& graveyard() {
  static auto* g = new Graveyard;
  return *g;
}

// Buries what came up during captures; call it when the thread captures nothing.
void bury_waiting() noexcept {
  std::vector<Remains> all;
  {
    const std::lock_guard<std::mutex> lock(graveyard().mutex);
    all.swap(graveyard().waiting);
  }
  for (Remains& r : all) try {
      r.bury();
    } catch (...) {  // a later call reports what is wrong with the device
    }
}

}  // namespace

class CapturedGraph final : public Graph, public RandomCapture {
 public:
  ~CapturedGraph() override;
  void begin_capture(int device, Graph* share) override;
  void end_capture() override;
  void abandon_capture() noexcept override;
  void replay() override;
  void reset() override;
  void* add_scalar(double value) override { return add(std::bit_cast<uint64_t>(value)); }
  void* add_scalar(int64_t value) override { return add(std::bit_cast<uint64_t>(value)); }
  void set_scalar(void* p, double value) override { set(p, std::bit_cast<uint64_t>(value)); }
  void set_scalar(void* p, int64_t value) override { set(p, std::bit_cast<uint64_t>(value)); }
  void before_replay(std::function<void()> update) override { updates_.push_back(std::move(update)); }
  int64_t node_count() const override { return nodes_; }
  RandomState reserve(Generator& generator, int64_t words) override;

  int device() const { return device_; }
  MemoryPool* pool() const { return pool_; }
  void keep(void* pinned, size_t capacity) { pinned_.emplace_back(pinned, capacity); }
  void hold(void* pinned) { held_.push_back(pinned); }

 private:
  static constexpr int kScalars = 512;

  // What one generator gives the graph: two scalars {offset, seed} on the device.
  struct RandomUse {
    Ref<Generator> generator;
    int scalar;
    uint64_t advance;
  };

  void* add(uint64_t bits);
  void set(void* p, uint64_t bits);
  void leave() noexcept;
  void upload(cudaStream_t stream);

  int device_ = 0;
  bool capturing_ = false;
  MemoryPool* pool_ = nullptr;
  cudaStream_t side_ = nullptr, before_ = nullptr;
  std::shared_ptr<void> side_owner_;  // returns side_ with the last graph that shares the pool
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t exec_ = nullptr;
  int64_t nodes_ = 0;
  void *table_ = nullptr, *table_block_ = nullptr;
  std::vector<uint64_t> scalars_;
  std::vector<RandomUse> random_;
  std::vector<std::function<void()>> updates_;
  RandomCapture* random_before_ = nullptr;
  std::vector<std::pair<void*, size_t>> pinned_;  // staging blocks of its own
  std::vector<void*> held_;                       // the caller's pinned blocks
  Ref<Event> last_;                               // of the replay before
  Stream last_stream_;
};

Ref<Graph> Graph::make() { return make_ref<CapturedGraph>(); }
Graph* capturing_graph() noexcept { return thread_state().capture; }

MemoryPool* capture_pool(int device) noexcept {
  const CapturedGraph* g = thread_state().capture;
  return g != nullptr && g->device() == device ? g->pool() : nullptr;
}

bool keep_for_graph(void* pinned, size_t capacity) {
  CapturedGraph* g = thread_state().capture;
  if (g != nullptr) g->keep(pinned, capacity);
  return g != nullptr;
}

bool hold_for_graph(void* pinned) {
  CapturedGraph* g = thread_state().capture;
  if (g != nullptr) g->hold(pinned);
  return g != nullptr;
}

void check_not_capturing(const char* what) {
  if (thread_state().capture == nullptr) [[likely]]
    return;
  const std::string op = current_op_name();
  fail(ErrorKind::Runtime,
       str(op == "op" ? "" : op + ": ", what,
           " is not possible while a CUDA graph is being captured: nothing may wait for the device or read "
           "host memory there; move it out of the captured function"));
}

CapturedGraph::~CapturedGraph() {
  if (capturing_) abandon_capture();
  try {
    reset();
  } catch (...) {  // the device is gone, or this is a forked child
  }
}

void CapturedGraph::begin_capture(int device, Graph* share) {
  CCDL_CHECK(thread_state().capture == nullptr, Runtime,
             "CUDAGraph: this thread already captures a graph; captures do not nest");
  CCDL_CHECK(exec_ == nullptr, Runtime, "CUDAGraph: already holds a captured graph; call reset() first");
  reset();
  cu::synchronize(device);
  empty_device_cache();
  const BoundDevice bound(device);
  device_ = device;
  size_t capacity = 0;
  table_ = allocate_outside_graphs(kScalars * 8, device, &capacity, &table_block_);
  if (share != nullptr) {
    const auto* owner = static_cast<CapturedGraph*>(share);
    CCDL_CHECK(owner->pool_ != nullptr && owner->device_ == device, Value,
               "CUDAGraph: the graph whose pool is to be shared holds none on this device");
    pool_ = owner->pool_;
    side_owner_ = owner->side_owner_;  // free blocks belong to a stream
    share_pool(pool_);
  } else {
    pool_ = make_private_pool(device);
    side_owner_ = std::shared_ptr<void>(take_capture_stream(device), [device](void* stream) {
      give_capture_stream(device, static_cast<cudaStream_t>(stream));
    });
  }
  side_ = static_cast<cudaStream_t>(side_owner_.get());
  CCDL_CUDA_CHECK(cudaStreamBeginCapture(side_, cudaStreamCaptureModeThreadLocal));
  ThreadState& t = thread_state();
  before_ = t.streams[device];
  t.streams[device] = side_;
  t.capture = this;
  random_before_ = set_random_capture(this);
  capturing_ = true;
}

void CapturedGraph::leave() noexcept {
  ThreadState& t = thread_state();
  t.streams[device_] = before_;
  t.capture = nullptr;
  set_random_capture(random_before_);
  capturing_ = false;
  bury_waiting();
}

void CapturedGraph::end_capture() {
  CCDL_CHECK(capturing_ && thread_state().capture == this, Runtime,
             "CUDAGraph: capture_end without capture_begin on this thread");
  const BoundDevice bound(device_);
  const cudaError_t status = cudaStreamEndCapture(side_, &graph_);
  leave();
  if (status != cudaSuccess) {
    graph_ = nullptr;
    reset();
    check_cuda(status, "cudaStreamEndCapture");
  }
  size_t count = 0;
  CCDL_CUDA_CHECK(cudaGraphGetNodes(graph_, nullptr, &count));
  nodes_ = static_cast<int64_t>(count);
  CCDL_CUDA_CHECK(cudaGraphInstantiate(&exec_, graph_, 0));
}

void CapturedGraph::abandon_capture() noexcept {
  if (!capturing_ || in_forked_child()) return;
  cudaGraph_t partial = nullptr;
  cudaStreamEndCapture(side_, &partial);
  if (partial != nullptr) cudaGraphDestroy(partial);
  cudaGetLastError();
  leave();
  try {
    reset();
  } catch (...) {  // a later call reports what is wrong with the device
  }
}

void CapturedGraph::reset() {
  CCDL_CHECK(!capturing_, Runtime, "CUDAGraph.reset: the graph is being captured");
  if (table_ == nullptr || in_forked_child()) return;
  Remains r;
  r.device = device_;
  r.graph = std::exchange(graph_, nullptr);
  r.exec = std::exchange(exec_, nullptr);
  r.table = std::exchange(table_, nullptr);
  r.table_block = std::exchange(table_block_, nullptr);
  r.pinned.swap(pinned_);
  r.held.swap(held_);
  r.pool = std::exchange(pool_, nullptr);
  r.side.swap(side_owner_);
  side_ = nullptr;
  nodes_ = 0;
  scalars_.clear();
  random_.clear();
  updates_.clear();
  last_.reset();
  if (thread_state().capture == nullptr) return r.bury();
  const std::lock_guard<std::mutex> lock(graveyard().mutex);
  graveyard().waiting.push_back(std::move(r));
}

void* CapturedGraph::add(uint64_t bits) {
  CCDL_CHECK(capturing_, Runtime, "CUDAGraph: scalars are added during the capture");
  CCDL_CHECK(scalars_.size() < kScalars, Runtime, "CUDAGraph: more than ", kScalars,
             " numbers change between replays");
  scalars_.push_back(bits);
  return static_cast<uint64_t*>(table_) + scalars_.size() - 1;
}

void CapturedGraph::set(void* p, uint64_t bits) {
  const auto i = static_cast<uint64_t*>(p) - static_cast<uint64_t*>(table_);
  CCDL_CHECK(i >= 0 && static_cast<size_t>(i) < scalars_.size(), Value,
             "CUDAGraph: not a scalar of this graph");
  scalars_[static_cast<size_t>(i)] = bits;
}

// The generator stands still during the capture; kernels count from where it will stand at each replay.
RandomState CapturedGraph::reserve(Generator& generator, int64_t words) {
  RandomUse* use = nullptr;
  for (RandomUse& u : random_)
    if (u.generator.get() == &generator) use = &u;
  if (use == nullptr) {
    const int scalar = static_cast<int>(scalars_.size());
    add(0);
    add(0);
    random_.push_back({Ref<Generator>(&generator), scalar, 0});
    use = &random_.back();
  }
  const RandomState s{generator.state().seed, use->advance,
                      static_cast<const uint64_t*>(table_) + use->scalar};
  use->advance += (static_cast<uint64_t>(words) + 3) / 4;
  return s;
}

// The table as it is now goes to the device in stream order; every replay has a staging block of its own.
void CapturedGraph::upload(cudaStream_t stream) {
  for (const RandomUse& u : random_) {
    const RandomState s = u.generator->advance(u.advance);
    scalars_[static_cast<size_t>(u.scalar)] = s.offset;
    scalars_[static_cast<size_t>(u.scalar) + 1] = s.seed;
  }
  if (scalars_.empty()) return;
  const size_t bytes = scalars_.size() * sizeof(uint64_t);
  size_t capacity = 0;
  void* staging = take_staging(static_cast<int64_t>(bytes), &capacity);
  std::memcpy(staging, scalars_.data(), bytes);
  const cudaError_t status = cudaMemcpyAsync(table_, staging, bytes, cudaMemcpyHostToDevice, stream);
  give_staging(staging, capacity, stream);
  check_cuda(status, "cudaMemcpyAsync (host to device)");
}

void CapturedGraph::replay() {
  CCDL_CHECK(exec_ != nullptr, Runtime, "CUDAGraph.replay: nothing was captured");
  check_not_capturing("CUDAGraph.replay");
  const BoundDevice bound(device_);
  const Stream stream{device_, current_stream()};
  for (const auto& update : updates_) update();
  if (last_ && !(last_stream_ == stream)) last_->wait(stream);  // the graph's memory is still in use there
  upload(static_cast<cudaStream_t>(stream.handle));
  detail::count_launch();
  CCDL_CUDA_CHECK(cudaGraphLaunch(exec_, static_cast<cudaStream_t>(stream.handle)));
  if (!last_) last_ = make_ref<Event>(false);
  last_->record(stream);
  last_stream_ = stream;
  if (sync_after_launch()) synchronize_stream(static_cast<cudaStream_t>(stream.handle));
}

}  // namespace ccdl::cu
