// Queues and the choice of what runs next. Seed 0 runs work in the order it was queued; other seeds run only
// what a synchronisation needs, the newest first, or at random, so that a missing wait shows.
#include <emulator/machine.h>
#include <emulator/memory.h>
#include <emulator/report.h>
#include <emulator/streams.h>

#include <algorithm>

namespace ccdl::emu {

namespace {

constexpr size_t kQueueLimit = 512;

struct Queues {
  std::vector<std::shared_ptr<StreamState>> streams;
  std::shared_ptr<StreamState> defaults[kMaxDevices];
  uint64_t order = 0;
  size_t queued = 0;
  uint64_t random = 0;
  std::vector<std::shared_ptr<Capture>> captures;
  unsigned long long captures_ever = 0;
};
Queues& state() {
  static Queues* s = new Queues;
  return *s;
}
thread_local int device_index = 0;
thread_local cudaError_t last_error = cudaSuccess;
thread_local cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;

uint64_t pick(uint64_t n) {
  Queues& s = state();
  s.random = s.random * 6364136223846793005u + 1442695040888963407u + seed();
  return (s.random >> 33) % n;
}

bool head_ready(const StreamState& s) {
  if (s.queue.empty()) return false;
  for (const Point& p : s.queue.front().after)
    if (!p.reached()) return false;
  return true;
}

void run_head(const std::shared_ptr<StreamState>& stream) {
  Work work = std::move(stream->queue.front());
  stream->queue.pop_front();
  --state().queued;
  // After a fault kernels are left out until somebody has read it; bookkeeping goes on.
  if (work.run && !(work.is_kernel && pending_fault() != cudaSuccess)) work.run();
  ++stream->done;
}

std::shared_ptr<StreamState> choose() {
  Queues& s = state();
  const uint64_t policy = seed() == 0 ? 0 : 1 + seed() % 3;
  std::shared_ptr<StreamState> best;
  uint64_t count = 0;
  for (const auto& stream : s.streams) {
    if (!head_ready(*stream)) continue;
    ++count;
    const bool take = !best || (policy == 0   ? stream->queue.front().order < best->queue.front().order
                                : policy == 3 ? stream->queue.front().order > best->queue.front().order
                                              : pick(count) == 0);
    if (take) best = stream;
  }
  return best;
}

void run_needed(const Point& point) {
  while (!point.reached()) {
    const std::vector<Point> after = point.stream->queue.front().after;
    for (const Point& p : after) run_needed(p);
    run_head(point.stream);
  }
}

bool blocking(const StreamState& s) { return !s.is_default && !(s.flags & cudaStreamNonBlocking); }

}  // namespace

std::recursive_mutex& lock() {
  static auto* m = new std::recursive_mutex;
  static const bool ready = [] {
    init_arena();
    install_signal_handlers();
    Queues& s = state();
    for (int i = 0; i < arena.devices; ++i) {
      s.defaults[i] = std::make_shared<StreamState>();
      s.defaults[i]->device = i;
      s.defaults[i]->is_default = true;
      s.streams.push_back(s.defaults[i]);
    }
    return true;
  }();
  (void)ready;
  return *m;
}

int current_device_index() { return device_index; }
void set_current_device(int device) { device_index = device; }

std::shared_ptr<StreamState> stream_of(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread)
    return state().defaults[device_index];
  for (const auto& s : state().streams)
    if (s->handle == stream) return s;
  return nullptr;
}

const std::vector<std::shared_ptr<StreamState>>& all_streams() { return state().streams; }

std::shared_ptr<StreamState> new_stream(unsigned flags, int priority) {
  auto s = std::make_shared<StreamState>();
  s->device = device_index;
  s->flags = flags;
  s->priority = priority;
  s->handle = new CUstream_st{s};
  state().streams.push_back(s);
  return s;
}

void forget_stream(const std::shared_ptr<StreamState>& stream) {
  auto& all = state().streams;
  all.erase(std::remove(all.begin(), all.end(), stream), all.end());
  delete stream->handle;
  stream->handle = nullptr;
}

Point tail_of(const std::shared_ptr<StreamState>& stream) { return {stream, stream->queued}; }

cudaError_t enqueue(const std::shared_ptr<StreamState>& stream, std::function<void()> run,
                    std::vector<Point> after, bool is_kernel) {
  Queues& s = state();
  if (stream->capture) {
    Capture& c = *stream->capture;
    if (c.invalid) return cudaErrorStreamCaptureInvalidated;
    c.nodes.push_back({{std::move(run), {}, 0, is_kernel}, stream->tails});
    stream->tails = {c.nodes.size() - 1};
    return cudaSuccess;
  }
  if (stream->is_default) {
    for (const auto& other : s.streams) {
      if (other->device != stream->device || !blocking(*other)) continue;
      if (other->capture) {
        other->capture->invalid = true;
        return cudaErrorStreamCaptureImplicit;
      }
      if (other->done < other->queued) after.push_back(tail_of(other));
    }
  } else if (blocking(*stream)) {
    const auto& d = s.defaults[stream->device];
    if (d->done < d->queued) after.push_back(tail_of(d));
  }
  stream->queue.push_back({std::move(run), std::move(after), ++s.order, is_kernel});
  ++stream->queued;
  if (++s.queued > kQueueLimit) {
    prepare_signal_stack();
    OpenMemory open;
    while (s.queued > kQueueLimit / 2 && run_one()) {
    }
  }
  return cudaSuccess;
}

bool run_one() {
  const auto stream = choose();
  if (!stream) return false;
  prepare_signal_stack();
  OpenMemory open;
  run_head(stream);
  return true;
}

void run_until(const Point& point) {
  if (point.reached()) return;
  prepare_signal_stack();
  OpenMemory open;
  if (seed() != 0 && 1 + seed() % 3 == 2) return run_needed(point);
  while (!point.reached()) run_head(choose());
}

void run_everything() {
  prepare_signal_stack();
  OpenMemory open;
  while (const auto stream = choose()) run_head(stream);
}

cudaError_t result(cudaError_t error) {
  if (pending_fault() != cudaSuccess) error = take_fault();
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t last_error_of_thread(bool forget) {
  const cudaError_t e = last_error;
  if (forget) last_error = cudaSuccess;
  return e;
}

// ---- captures ----

void begin_capture(const std::shared_ptr<StreamState>& stream, cudaStreamCaptureMode mode) {
  auto c = std::make_shared<Capture>();
  c->origin = stream;
  c->mode = mode;
  c->id = ++state().captures_ever;
  c->thread = std::this_thread::get_id();
  c->members.push_back(stream);
  stream->capture = c;
  stream->tails.clear();
  state().captures.push_back(c);
}

void end_capture(const std::shared_ptr<Capture>& capture) {
  for (const auto& m : capture->members) {
    m->capture.reset();
    m->tails.clear();
  }
  auto& all = state().captures;
  all.erase(std::remove(all.begin(), all.end(), capture), all.end());
}

cudaStreamCaptureMode exchange_capture_mode(cudaStreamCaptureMode mode) {
  std::swap(capture_mode, mode);
  return mode;
}

bool unsafe_call_forbidden() {
  if (capture_mode == cudaStreamCaptureModeRelaxed) return false;
  bool forbidden = false;
  for (const auto& c : state().captures) {
    if (c->mode == cudaStreamCaptureModeRelaxed) continue;
    const bool mine = c->thread == std::this_thread::get_id();
    if (!mine && (c->mode != cudaStreamCaptureModeGlobal || capture_mode != cudaStreamCaptureModeGlobal))
      continue;
    c->invalid = true;
    forbidden = true;
  }
  return forbidden;
}

void run_nodes(const std::vector<Node>& nodes) {
  std::vector<size_t> missing(nodes.size());
  std::vector<std::vector<size_t>> next(nodes.size());
  std::vector<size_t> ready;
  for (size_t i = 0; i < nodes.size(); ++i) {
    missing[i] = nodes[i].after.size();
    for (size_t a : nodes[i].after) next[a].push_back(i);
    if (missing[i] == 0) ready.push_back(i);
  }
  size_t head = 0;  // seed 0: first come, first run
  while (head < ready.size()) {
    if (seed() != 0) std::swap(ready[head], ready[head + pick(ready.size() - head)]);
    const Node& node = nodes[ready[head]];
    if (node.work.run && !(node.work.is_kernel && pending_fault() != cudaSuccess)) node.work.run();
    for (size_t n : next[ready[head]])
      if (--missing[n] == 0) ready.push_back(n);
    ++head;
  }
}

}  // namespace ccdl::emu
