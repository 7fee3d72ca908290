// Streams as queues of work that runs at synchronisation points, in an order that the seed chooses among the
// legal ones.
#pragma once
#include <emulator/launch.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace ccdl::emu {

struct StreamState;
struct Capture;

// "This stream has run this many items."
struct Point {
  std::shared_ptr<StreamState> stream;
  uint64_t count = 0;
  bool reached() const;
};

struct Work {
  std::function<void()> run;
  std::vector<Point> after;
  uint64_t order = 0;  // among all work ever queued
  bool is_kernel = false;
};

struct StreamState {
  int device = 0;
  unsigned flags = 0;
  int priority = 0;
  bool is_default = false;
  std::deque<Work> queue;
  uint64_t queued = 0, done = 0;
  std::shared_ptr<Capture> capture;
  std::vector<size_t> tails;  // of the capture: nodes that the next one follows
  CUstream_st* handle = nullptr;
};
inline bool Point::reached() const { return !stream || stream->done >= count; }

// Nodes recorded while a stream captures.
struct Node {
  Work work;
  std::vector<size_t> after;
};
struct Capture {
  std::shared_ptr<StreamState> origin;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  unsigned long long id = 0;
  std::thread::id thread;
  bool invalid = false;
  std::vector<Node> nodes;
  std::vector<std::shared_ptr<StreamState>> members;
};

}  // namespace ccdl::emu

struct CUstream_st {
  std::shared_ptr<ccdl::emu::StreamState> state;
};
struct CUevent_st {
  unsigned flags = 0;
  ccdl::emu::Point point;
  std::shared_ptr<double> time;  // of the last record, set when it runs
  std::weak_ptr<ccdl::emu::Capture> capture;
  std::vector<size_t> nodes;
  bool captured = false;
};
struct CUgraph_st {
  std::vector<ccdl::emu::Node> nodes;
  int device = 0;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<ccdl::emu::Node>> nodes;
};

namespace ccdl::emu {

std::recursive_mutex& lock();
using Guard = std::lock_guard<std::recursive_mutex>;

int current_device_index();
void set_current_device(int device);
// Resolves nullptr and the special handles; null for a destroyed or unknown stream.
std::shared_ptr<StreamState> stream_of(cudaStream_t stream);
// Queues (or captures) work behind everything the stream has and behind `after`.
cudaError_t enqueue(const std::shared_ptr<StreamState>& stream, std::function<void()> run,
                    std::vector<Point> after = {}, bool is_kernel = false);
void run_until(const Point& point);
void run_everything();
bool run_one();  // some item that may run now
Point tail_of(const std::shared_ptr<StreamState>& stream);
const std::vector<std::shared_ptr<StreamState>>& all_streams();
void forget_stream(const std::shared_ptr<StreamState>& stream);
std::shared_ptr<StreamState> new_stream(unsigned flags, int priority);

// ---- captures ----
void begin_capture(const std::shared_ptr<StreamState>& stream, cudaStreamCaptureMode mode);
void end_capture(const std::shared_ptr<Capture>& capture);
cudaStreamCaptureMode exchange_capture_mode(cudaStreamCaptureMode mode);
bool unsafe_call_forbidden();  // this thread may not synchronise or allocate now; invalidates the capture
void run_nodes(const std::vector<Node>& nodes);

// Result of an API call: remembers it for cudaGetLastError; a fault not seen yet goes first.
cudaError_t result(cudaError_t error);
cudaError_t last_error_of_thread(bool forget);

}  // namespace ccdl::emu
