// Broken and repaired use of streams, events and graphs.
#include "cases.h"
#include "launch.h"

namespace {

__global__ void fill_kernel(float* x, float v) { x[threadIdx.x] = v; }
__global__ void copy_kernel(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }

// One stream reads what another writes.
bool run_missing_stream_wait(bool repaired) {
  Buffer<float> x(32), y(32);
  cudaStream_t a, b;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
  cudaEvent_t written;
  cudaEventCreateWithFlags(&written, cudaEventDisableTiming);
  EMU_LAUNCH((Shape{.block = 32, .stream = a}), "fill_kernel", fill_kernel, x.p, 5.0f);
  cudaEventRecord(written, a);
  if (repaired) cudaStreamWaitEvent(b, written);
  EMU_LAUNCH((Shape{.block = 32, .stream = b}), "copy_kernel", copy_kernel, x.p, y.p);
  cudaStreamSynchronize(b);
  std::vector<float> out(32);
  cudaMemcpyAsync(out.data(), y.p, 128, cudaMemcpyDeviceToHost, b);
  cudaStreamSynchronize(b);
  cudaDeviceSynchronize();
  cudaEventDestroy(written);
  cudaStreamDestroy(a);
  cudaStreamDestroy(b);
  return out[7] == 5.0f;
}

// The next kernel of another stream overwrites what a queued one still has to read.
bool run_early_reuse(bool repaired) {
  Buffer<float> x(32), y(32);
  cudaStream_t a, b;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
  cudaEvent_t read;
  cudaEventCreateWithFlags(&read, cudaEventDisableTiming);
  EMU_LAUNCH((Shape{.block = 32, .stream = a}), "fill_kernel", fill_kernel, x.p, 5.0f);
  EMU_LAUNCH((Shape{.block = 32, .stream = a}), "copy_kernel", copy_kernel, x.p, y.p);
  cudaEventRecord(read, a);
  if (repaired) cudaStreamWaitEvent(b, read);
  EMU_LAUNCH((Shape{.block = 32, .stream = b}), "fill_kernel", fill_kernel, x.p, 6.0f);
  cudaDeviceSynchronize();
  const bool good = y.read()[7] == 5.0f && x.read()[7] == 6.0f;
  cudaEventDestroy(read);
  cudaStreamDestroy(a);
  cudaStreamDestroy(b);
  return good;
}

// Reading pinned memory before the copy into it has been waited for.
bool run_missing_synchronize(bool repaired) {
  Buffer<float> x(32);
  float* host;
  cudaHostAlloc(&host, 128, cudaHostAllocMapped);
  host[7] = 0;
  cudaStream_t a;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  EMU_LAUNCH((Shape{.block = 32, .stream = a}), "fill_kernel", fill_kernel, x.p, 5.0f);
  cudaMemcpyAsync(host, x.p, 128, cudaMemcpyDeviceToHost, a);
  if (repaired) cudaStreamSynchronize(a);
  const bool good = host[7] == 5.0f;
  cudaStreamDestroy(a);
  cudaFreeHost(host);
  return good;
}

// A graph replays addresses: freeing what it uses is found at the replay.
__global__ void graph_kernel(const float* x, float* y) {
  y[threadIdx.x] += x[threadIdx.x];  // fault: graph_kernel
}
bool run_graph_uses_freed(bool repaired) {
  Buffer<float> y(32);
  cudaMemset(y.p, 0, 128);
  float* x;
  cudaMalloc(&x, 128);
  cudaMemset(x, 0, 128);
  cudaStream_t a;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaDeviceSynchronize();
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaStreamBeginCapture(a, cudaStreamCaptureModeThreadLocal);
  EMU_LAUNCH((Shape{.block = 32, .stream = a}), "fill_kernel", fill_kernel, x, 2.0f);
  EMU_LAUNCH((Shape{.block = 32, .stream = a}), "graph_kernel", graph_kernel, x, y.p);
  cudaStreamEndCapture(a, &graph);
  cudaGraphInstantiate(&exec, graph);
  cudaGraphLaunch(exec, a);
  cudaGraphLaunch(exec, a);
  cudaStreamSynchronize(a);
  if (!repaired) {
    cudaFree(x);
    Buffer<float> other(32);  // may not take the place of x at once
    cudaGraphLaunch(exec, a);
    cudaStreamSynchronize(a);
  }
  const bool good = y.read()[7] == 4.0f;
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(a);
  if (repaired) cudaFree(x);
  return good;
}

}  // namespace

const std::vector<FaultCase>& stream_cases() {
  static const std::vector<FaultCase> all = {
      {"missing_stream_wait", "", 4, false, run_missing_stream_wait, __FILE__},
      {"early_reuse", "", 2, false, run_early_reuse, __FILE__},
      {"missing_synchronize", "", 8, false, run_missing_synchronize, __FILE__},
      {"fill_kernel", "use-after-free", 8, false, run_graph_uses_freed, __FILE__},
  };
  return all;
}
