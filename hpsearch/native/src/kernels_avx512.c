/* The kernels for AVX-512. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif
#define KERNELS_AVX512
#include "kernels.h"
const Kernels kernels_avx512 = {"avx512", train, evaluate, activate_all};
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
