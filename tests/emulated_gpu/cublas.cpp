// Products of matrices as candle asks for them: column-major, strided batches, f32 and f64.
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "emulated.h"

using namespace emulated;

namespace {

enum Status { OK = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7 };
// `cudaDataType`, `cublasOperation_t` and the lowest `cublasComputeType_t` of each kind.
constexpr int REAL_32 = 0, REAL_64 = 1, NORMAL = 0;
// `CUBLAS_COMPUTE_32F_FAST_TF32`: operands are rounded to ten bits after the leading one.
constexpr int FAST_TF32 = 77;

struct Handle {
    int pointer_mode = 0;
    void* stream = nullptr;
};

template <class T>
struct Matrix {
    T* data;
    int leading;
    int64_t stride;
    /// Whether it is read transposed.
    bool transposed = false;
};

// The elements that a matrix of `rows` times `columns` in a batch spans.
template <class T>
size_t span(const Matrix<T>& of, int rows, int columns, int batch) {
    if (of.transposed) std::swap(rows, columns);
    return size_t(of.stride) * size_t(batch - 1) + size_t(of.leading) * size_t(columns - 1) + size_t(rows);
}

float rounded(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    // Infinities and what is no number stay.
    if ((bits & 0x7f800000u) == 0x7f800000u) return x;
    bits = (bits + 0xfffu + (bits >> 13 & 1)) & ~0x1fffu;
    memcpy(&x, &bits, sizeof x);
    return x;
}
double rounded(double x) { return x; }

// A column of the result at a time: sums in `T` over rows that lie side by side.
template <class T>
void product(bool rounds, int m, int n, int k, T alpha, const T* a, int lda, bool ta, const T* b, int ldb, bool tb, T beta, T* c, int ldc) {
    std::vector<T> packed(size_t(m) * size_t(k)), column(size_t(m), T(0));
    for (int l = 0; l < k; ++l)
        for (int i = 0; i < m; ++i) {
            const T entry = ta ? a[size_t(i) * lda + l] : a[size_t(l) * lda + i];
            packed[size_t(l) * m + i] = rounds ? rounded(entry) : entry;
        }
    for (int j = 0; j < n; ++j) {
        column.assign(size_t(m), T(0));
        for (int l = 0; l < k; ++l) {
            const T entry = tb ? b[size_t(l) * ldb + j] : b[size_t(j) * ldb + l];
            const T scale = rounds ? rounded(entry) : entry;
            const T* row = packed.data() + size_t(l) * m;
            for (int i = 0; i < m; ++i) column[i] += scale * row[i];
        }
        T* to = c + size_t(j) * ldc;
        // With beta 0 the result is not read: it may be unset.
        for (int i = 0; i < m; ++i) to[i] = alpha * column[i] + (beta == T(0) ? T(0) : beta * to[i]);
    }
}

template <class T>
int batches(bool rounds, void* handle, int m, int n, int k, const void* alpha, Matrix<const T> a, Matrix<const T> b, const void* beta, Matrix<T> c, int batch) {
    if (!handle) return NOT_INITIALIZED;
    emulated_use_stream(static_cast<Handle*>(handle)->stream);
    if (static_cast<Handle*>(handle)->pointer_mode) emulated_abort("gemm: factors on the device are not emulated");
    const int a_rows = a.transposed ? k : m, b_rows = b.transposed ? n : k;
    if (m < 0 || n < 0 || k < 0 || batch < 0 || a.leading < (a_rows > 1 ? a_rows : 1) || b.leading < (b_rows > 1 ? b_rows : 1) ||
        c.leading < (m > 1 ? m : 1))
        return INVALID_VALUE;
    emulated_count(Count::gemms, 1);
    if (!m || !n || !batch) return OK;
    if (k) {
        emulated_need_device(a.data, span(a, m, k, batch) * sizeof(T), "gemm: A");
        emulated_need_device(b.data, span(b, k, n, batch) * sizeof(T), "gemm: B");
    }
    emulated_need_device(c.data, span(c, m, n, batch) * sizeof(T), "gemm: C");
    for (int i = 0; i < batch; ++i)
        product<T>(rounds, m, n, k, *static_cast<const T*>(alpha), a.data + i * a.stride, a.leading, a.transposed, b.data + i * b.stride,
                   b.leading, b.transposed, *static_cast<const T*>(beta), c.data + i * c.stride, c.leading);
    return OK;
}

template <class T>
int gemm(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int lda, int64_t sa, const void* b,
         int ldb, int64_t sb, const void* beta, void* c, int ldc, int64_t sc, int batch, bool rounds = false) {
    return batches<T>(rounds, handle, m, n, k, alpha, {static_cast<const T*>(a), lda, sa, ta != NORMAL},
                      {static_cast<const T*>(b), ldb, sb, tb != NORMAL}, beta, {static_cast<T*>(c), ldc, sc}, batch);
}

}  // namespace

EMULATED_API int cublasCreate_v2(void** handle) {
    *handle = new Handle;
    return OK;
}
EMULATED_API int cublasDestroy_v2(void* handle) {
    delete static_cast<Handle*>(handle);
    return OK;
}
EMULATED_API int cublasSetStream_v2(void* handle, void* stream) {
    if (!handle) return NOT_INITIALIZED;
    static_cast<Handle*>(handle)->stream = stream;
    return OK;
}
EMULATED_API int cublasSetMathMode(void* handle, int) { return handle ? OK : NOT_INITIALIZED; }
EMULATED_API int cublasSetWorkspace_v2(void* handle, void*, size_t) { return handle ? OK : NOT_INITIALIZED; }
EMULATED_API int cublasSetPointerMode_v2(void* handle, int mode) {
    static_cast<Handle*>(handle)->pointer_mode = mode;
    return OK;
}
EMULATED_API int cublasGetPointerMode_v2(void* handle, int* mode) {
    *mode = static_cast<Handle*>(handle)->pointer_mode;
    return OK;
}

EMULATED_API int cublasSgemm_v2(void* handle, int ta, int tb, int m, int n, int k, const float* alpha, const float* a, int lda,
                                const float* b, int ldb, const float* beta, float* c, int ldc) {
    return gemm<float>(handle, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}
EMULATED_API int cublasDgemm_v2(void* handle, int ta, int tb, int m, int n, int k, const double* alpha, const double* a, int lda,
                                const double* b, int ldb, const double* beta, double* c, int ldc) {
    return gemm<double>(handle, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}
EMULATED_API int cublasSgemmStridedBatched(void* handle, int ta, int tb, int m, int n, int k, const float* alpha, const float* a,
                                           int lda, long long sa, const float* b, int ldb, long long sb, const float* beta,
                                           float* c, int ldc, long long sc, int batch) {
    return gemm<float>(handle, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, batch);
}
EMULATED_API int cublasDgemmStridedBatched(void* handle, int ta, int tb, int m, int n, int k, const double* alpha, const double* a,
                                           int lda, long long sa, const double* b, int ldb, long long sb, const double* beta,
                                           double* c, int ldc, long long sc, int batch) {
    return gemm<double>(handle, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, batch);
}
EMULATED_API int cublasGemmStridedBatchedEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a,
                                            int a_type, int lda, long long sa, const void* b, int b_type, int ldb, long long sb,
                                            const void* beta, void* c, int c_type, int ldc, long long sc, int batch, int compute,
                                            int) {
    if (a_type == REAL_32 && b_type == REAL_32 && c_type == REAL_32)
        return gemm<float>(handle, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, batch, compute == FAST_TF32);
    if (a_type == REAL_64 && b_type == REAL_64 && c_type == REAL_64)
        return gemm<double>(handle, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, batch);
    emulated_abort("gemm: types %d, %d and %d with compute type %d are not emulated", a_type, b_type, c_type, compute);
}
EMULATED_API int cublasGemmEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda,
                              const void* b, int b_type, int ldb, const void* beta, void* c, int c_type, int ldc, int compute, int algorithm) {
    return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c, c_type, ldc, 0, 1,
                                      compute, algorithm);
}
