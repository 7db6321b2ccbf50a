/* The kernels for AVX2 and FMA. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define KERNELS_AVX2
#include "kernels.h"
const Kernels kernels_avx2 = {"avx2", train, evaluate, activate_all};
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
