// Every planted fault is found, with its kind, kernel and source line in the report, under the stated number
// of the seeds 0 to 7; its repaired twin passes under all of them, and the emulator goes on working after
// each fault.
#include <cuda.h>
#include <emulator/launch.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "../test.h"
#include "cases.h"

namespace {

constexpr int kSeeds = 8;

// The lines that carry the marker of this name.
std::vector<int> marked_lines(const FaultCase& c) {
  std::vector<int> lines;
  std::ifstream file(c.marker_file);
  CHECK(file.good());
  const std::string marker = std::string("// fault: ") + c.name;
  std::string line;
  for (int n = 1; std::getline(file, line); ++n) {
    const size_t at = line.find(marker);
    if (at != std::string::npos && at + marker.size() == line.size()) lines.push_back(n);
  }
  return lines;
}

bool names_line(const std::string& report, const FaultCase& c) {
  const std::string file =
      std::strrchr(c.marker_file, '/') ? std::strrchr(c.marker_file, '/') + 1 : c.marker_file;
  const std::vector<int> lines = marked_lines(c);
  for (int line : lines)
    if (report.find(file + ":" + std::to_string(line)) != std::string::npos) return true;
  return lines.empty();
}

void fail(const FaultCase& c, uint64_t seed, const std::string& what) {
  test::report(c.name, static_cast<int>(seed), what);
}

void check_case(const FaultCase& c) {
  int found = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    ccdl::emu::set_seed(seed);
    ccdl::emu::set_races(c.global_races);
    cudaGetLastError();
    ccdl::emu::clear_fault();
    const bool result = c.run(false);
    const cudaError_t error = cudaDeviceSynchronize();
    const std::string kind = ccdl::emu::fault_kind(), report = ccdl::emu::fault_text();
    if (!*c.kinds) {
      found += !result;  // the wrong result is the finding
    } else if (!kind.empty()) {
      ++found;
      if (std::string(c.kinds).find(kind) == std::string::npos) fail(c, seed, "another kind: " + report);
      if (report.find(c.name) == std::string::npos)
        fail(c, seed, "the report does not name the kernel: " + report);
      if (!names_line(report, c)) fail(c, seed, "the report does not name the line: " + report);
      if (report.find("seed    " + std::to_string(seed)) == std::string::npos)
        fail(c, seed, "no seed: " + report);
    } else if (error != cudaSuccess) {
      fail(c, seed, std::string("an error without a report: ") + cudaGetErrorName(error));
    }
    cudaGetLastError();
    ccdl::emu::clear_fault();
    if (!c.run(true))
      fail(c, seed, std::string("the repaired twin gives wrong results ") + ccdl::emu::fault_text());
    if (cudaDeviceSynchronize() != cudaSuccess || *ccdl::emu::fault_text())
      fail(c, seed, std::string("the repaired twin is reported: ") + ccdl::emu::fault_text());
  }
  std::printf("  %-24s found under %d of %d seeds\n", c.name, found, kSeeds);
  if (found < c.of_eight) fail(c, 0, "found under too few seeds");
  ccdl::emu::set_races(false);
}

}  // namespace

TEST(memory_faults) {
  for (const FaultCase& c : memory_cases()) check_case(c);
}
TEST(synchronisation_faults) {
  for (const FaultCase& c : sync_cases()) check_case(c);
}
TEST(hopper_faults) {
  for (const FaultCase& c : hopper_cases()) check_case(c);
}
TEST(stream_faults) {
  for (const FaultCase& c : stream_cases()) check_case(c);
}

// What the driver refuses: one departure from a good map at a time.
TEST(tensor_map_rules) {
  struct Request {
    alignas(128) CUtensorMap map;
    CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    cuuint32_t rank = 2;
    uintptr_t address = 4096;
    cuuint64_t sizes[2] = {100, 50}, strides[1] = {208};
    cuuint32_t box[2] = {64, 32}, steps[2] = {1, 1};
    CUtensorMapInterleave interleave = CU_TENSOR_MAP_INTERLEAVE_NONE;
    CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
    CUtensorMapFloatOOBfill fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
    bool good() {
      return cuTensorMapEncodeTiled(&map, type, rank, reinterpret_cast<void*>(address), sizes, strides, box,
                                    steps, interleave, swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                                    fill) == CUDA_SUCCESS;
    }
  };
  const auto good_with = [](auto change) {
    Request r;
    change(r);
    return r.good();
  };
  CHECK(good_with([](Request&) {}));
  CHECK(good_with([](Request& r) { r.sizes[0] = uint64_t{1} << 32; }));
  CHECK(!good_with([](Request& r) { r.sizes[0] = (uint64_t{1} << 32) + 1; }));
  CHECK(!good_with([](Request& r) { r.sizes[1] = 0; }));
  CHECK(!good_with([](Request& r) { r.address += 8; }));
  CHECK(!good_with([](Request& r) { r.strides[0] = 200; }));  // not a multiple of 16
  CHECK(!good_with([](Request& r) { r.strides[0] = uint64_t{1} << 40; }));
  CHECK(!good_with([](Request& r) { r.box[0] = 72; }));  // wider than the swizzle
  CHECK(good_with([](Request& r) { r.box[0] = 72, r.swizzle = CU_TENSOR_MAP_SWIZZLE_NONE; }));
  CHECK(!good_with([](Request& r) { r.box[0] = 4; }));  // a line of 8 bytes
  CHECK(!good_with([](Request& r) { r.box[1] = 257; }));
  CHECK(!good_with([](Request& r) { r.box[1] = 0; }));
  CHECK(!good_with([](Request& r) { r.steps[1] = 9; }));
  CHECK(!good_with([](Request& r) { r.rank = 0; }));
  CHECK(!good_with([](Request& r) { r.rank = 6; }));
  CHECK(!good_with([](Request& r) {  // NaN in integers
    r.type = CU_TENSOR_MAP_DATA_TYPE_UINT16;
    r.fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA;
  }));
}

// Code without instrumentation meets closed pages: a clear message, then the usual end of the process.
TEST(rnn_ring) { CHECK(rnn_ring_is_exact()); }

TEST(host_dereference_in_plain_code) {
  ccdl::emu::set_seed(0);
  float* p;
  CHECK(cudaMalloc(&p, 128) == cudaSuccess);
  int ends[2];
  CHECK(pipe(ends) == 0);
  if (fork() == 0) {
    dup2(ends[1], 2);
    volatile float* q = p;
    std::_Exit(*q == 0.0f ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  wait(&status);
  CHECK(!WIFEXITED(status));
  CHECK(text.find("host-dereference: host code touches device memory") != std::string::npos);
  cudaFree(p);
}

TEST(copies_are_checked) {
  float* p;
  CHECK(cudaMalloc(&p, 128) == cudaSuccess);
  std::vector<float> host(64);
  CHECK(cudaMemcpy(p, host.data(), 256, cudaMemcpyHostToDevice) == cudaErrorIllegalAddress);
  CHECK(std::string(ccdl::emu::fault_kind()) == "out-of-bounds");
  CHECK(cudaMemcpy(p, host.data(), 128, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaMemcpy(host.data(), p, 128, cudaMemcpyHostToDevice) == cudaErrorInvalidMemcpyDirection);
  CHECK(cudaFree(p + 1) == cudaErrorInvalidValue);
  CHECK(cudaFree(p) == cudaSuccess);
  cudaGetLastError();
  ccdl::emu::clear_fault();
}

TEST(memory_runs_out_cleanly) {
  size_t free_bytes, total;
  CHECK(cudaMemGetInfo(&free_bytes, &total) == cudaSuccess);
  void* p;
  CHECK(cudaMalloc(&p, total + 1) == cudaErrorMemoryAllocation);
  CHECK(p == nullptr);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaMalloc(&p, 1024) == cudaSuccess);
  CHECK(cudaFree(p) == cudaSuccess);
}

TEST(capture_forbids_synchronisation) {
  cudaStream_t s;
  cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaStreamSynchronize(s) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(graph == nullptr);
  void* p;
  CHECK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaMalloc(&p, 16) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureInvalidated);
  // Work that another stream did for the capture must come back to it.
  cudaStream_t other;
  cudaEvent_t fork;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
  CHECK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  cudaEventRecord(fork, s);
  CHECK(cudaStreamWaitEvent(other, fork) == cudaSuccess);
  CHECK(cudaLaunchHostFunc(
            other, [](void*) {}, nullptr) == cudaSuccess);
  CHECK(cudaStreamEndCapture(s, &graph) == cudaErrorStreamCaptureUnjoined);
  cudaGetLastError();
  cudaEventDestroy(fork);
  cudaStreamDestroy(other);
  cudaStreamDestroy(s);
}

TEST(the_page_shows_the_example_as_it_is) {
  const std::string here = std::string(__FILE__).substr(0, std::string(__FILE__).rfind('/'));
  const auto content = [](const std::string& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string example = content(here + "/example/transpose.cu");
  CHECK(!example.empty());
  CHECK(content(here + "/../../../docs/emulator.md").find(example) != std::string::npos);
}

int main(int argc, char** argv) {  // names of tests to run; all without
  if (argc > 1)
    std::erase_if(test::cases(), [&](const test::Case& c) {
      return std::none_of(argv + 1, argv + argc,
                          [&](const char* name) { return std::string(name) == c.name; });
    });
  return test::run_all();
}
