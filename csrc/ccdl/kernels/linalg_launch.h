// The functions of linalg.h from their tasks, for the file of each device that defines
// CCDL_LINALG_RUN(task, batch) and includes this inside its namespace. No include guard on purpose.

DType linalg_work_dtype(DType) { return DType::Float64; }
bool linalg_takes_any_size() { return false; }

void linalg_cholesky(const View& at, const View& info) {
  const linalg::CholeskyTask task{at.ptr<double>(), info.ptr<int32_t>(), at.sizes[1]};
  CCDL_LINALG_RUN(task, at.sizes[0]);
}

void linalg_lu(const View& a, const View& pivots, const View& info) {
  const linalg::LuTask task{a.ptr<double>(), pivots.ptr<int32_t>(), info.ptr<int32_t>(), a.sizes[1],
                            a.sizes[2]};
  CCDL_LINALG_RUN(task, a.sizes[0]);
}

void linalg_swap_rows(const View& x, const View& pivots, bool inverse) {
  const linalg::SwapRowsTask task{x.ptr<double>(), pivots.ptr<int32_t>(), x.sizes[1],
                                  x.sizes[2],      pivots.sizes[1],       inverse};
  CCDL_LINALG_RUN(task, x.sizes[0]);
}

void linalg_triangular_solve(const View& t, const View& x, bool upper, bool unit) {
  const linalg::TriangularSolveTask task{t.ptr<double>(), x.ptr<double>(), x.sizes[1],
                                         x.sizes[2],      upper,           unit};
  CCDL_LINALG_RUN(task, x.sizes[0]);
}

void linalg_qr(const View& at, const View& tau, const View& work) {
  const linalg::QrTask task{at.ptr<double>(), tau.ptr<double>(), work.ptr<double>(), at.sizes[2],
                            at.sizes[1]};
  CCDL_LINALG_RUN(task, at.sizes[0]);
}

void linalg_qr_form(const View& at, const View& tau, const View& qt, const View& work) {
  const linalg::QrFormTask task{at.ptr<double>(), tau.ptr<double>(), qt.ptr<double>(), work.ptr<double>(),
                                at.sizes[2],      at.sizes[1],       qt.sizes[1]};
  CCDL_LINALG_RUN(task, at.sizes[0]);
}

void linalg_eigh(const View& a, const View& w, const View& vt, const View& work, const View& info) {
  const linalg::EighTask task{
      a.ptr<double>(),    w.ptr<double>(),     vt.numel() > 0 ? vt.ptr<double>() : nullptr,
      work.ptr<double>(), info.ptr<int32_t>(), a.sizes[1]};
  CCDL_LINALG_RUN(task, a.sizes[0]);
}

void linalg_svd(const View& at, const View& s, const View& vt, const View& info) {
  const linalg::SvdTask task{
      at.ptr<double>(),    s.ptr<double>(), vt.numel() > 0 ? vt.ptr<double>() : nullptr,
      info.ptr<int32_t>(), at.sizes[2],     at.sizes[1]};
  CCDL_LINALG_RUN(task, at.sizes[0]);
}
