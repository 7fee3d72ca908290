// Level v2 (SSE4.2, no AVX) runs the kernels of level generic: their vectors are as wide, and what SSE4.2
// adds shortened them by a few percent, exp by 14, for 3 MB of machine code. The tables are copied at load.
#include <ccdl/cpu/simd/attention.h>
#include <ccdl/cpu/simd/conv.h>
#include <ccdl/cpu/simd/conv_lanes.h>
#include <ccdl/cpu/simd/conv_strips.h>
#include <ccdl/cpu/simd/cross_entropy.h>
#include <ccdl/cpu/simd/distance.h>
#include <ccdl/cpu/simd/elementwise.h>
#include <ccdl/cpu/simd/elementwise_convert.h>
#include <ccdl/cpu/simd/gemm.h>
#include <ccdl/cpu/simd/grid_sample.h>
#include <ccdl/cpu/simd/index.h>
#include <ccdl/cpu/simd/linalg.h>
#include <ccdl/cpu/simd/loss.h>
#include <ccdl/cpu/simd/multi_tensor.h>
#include <ccdl/cpu/simd/norm.h>
#include <ccdl/cpu/simd/optim.h>
#include <ccdl/cpu/simd/optim_rules.h>
#include <ccdl/cpu/simd/optim_scaled.h>
#include <ccdl/cpu/simd/panel.h>
#include <ccdl/cpu/simd/pool.h>
#include <ccdl/cpu/simd/prelu.h>
#include <ccdl/cpu/simd/random.h>
#include <ccdl/cpu/simd/reduce.h>
#include <ccdl/cpu/simd/rnn.h>
#include <ccdl/cpu/simd/scan.h>
#include <ccdl/cpu/simd/softmax.h>
#include <ccdl/cpu/simd/special.h>
#include <ccdl/cpu/simd/stream.h>
#include <ccdl/cpu/simd/winograd.h>

#if defined(__x86_64__)
namespace ccdl::cpu::v2 {

const AttentionKernels attention = generic::attention;
const ConvKernels conv = generic::conv;
const ConvLaneKernels conv_lanes = generic::conv_lanes;
const ConvStripKernels conv_strips = generic::conv_strips;
const CrossEntropyKernels cross_entropy = generic::cross_entropy;
const DistanceKernels distance = generic::distance;
const ElementwiseUnaryKernels elementwise_unary = generic::elementwise_unary;
const ElementwiseBackwardKernels elementwise_backward = generic::elementwise_backward;
const ElementwiseBinaryKernels elementwise_binary = generic::elementwise_binary;
const ElementwisePlainKernels elementwise_plain = generic::elementwise_plain;
const ElementwiseConvertKernels elementwise_convert = generic::elementwise_convert;
const GemmKernels gemm = generic::gemm;
const GridSampleKernels grid_sample_kernels = generic::grid_sample_kernels;
const IndexKernels index = generic::index;
const LinalgKernels linalg = generic::linalg;
const SecularKernels secular = generic::secular;
const LossKernels loss = generic::loss;
const MultiTensorKernels multi_tensor = generic::multi_tensor;
const NormKernels norm = generic::norm;
const OptimKernels optim = generic::optim;
const OptimRulesKernels optim_rules = generic::optim_rules;
const OptimScaledKernels optim_scaled_kernels = generic::optim_scaled_kernels;
const PanelKernels panel = generic::panel;
const PoolKernels pool = generic::pool;
const PreluKernels prelu = generic::prelu;
const RandomKernels random = generic::random;
const ReduceKernels reduce = generic::reduce;
const RnnKernels rnn = generic::rnn;
const ScanKernels scan = generic::scan;
const SoftmaxKernels softmax = generic::softmax;
const SpecialKernels special = generic::special;
const StreamKernels stream = generic::stream;
const WinogradKernels winograd = generic::winograd;

}  // namespace ccdl::cpu::v2
#endif
